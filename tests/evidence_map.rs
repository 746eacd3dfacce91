//! Measurements of the claim–evidence map on a network written by hand, of which it is known where a
//! carry is delivered: the MLP of layer 0 writes it where the digit above is predicted, the MLP of
//! layer 1 combines it, and the heads of layer 1 are idle.

use circuitcheck::analysis::evidence_map::{
    Lab, MapClaim, MapMeasured, MapOptions, MapVerdict, ModelMap, Settled, measure_claims,
};
use circuitcheck::experiment::Baseline;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::Engine;
use circuitcheck::network::handmade::{Handmade, addition, planted};

const DIGITS: usize = 4;

const OPTIONS: MapOptions = MapOptions {
    alpha: 0.01,
    seed: 1,
};

/// Measures a claim with these measurements on the network written by hand that adds.
fn map(measures: &str) -> ModelMap {
    map_of(&addition(DIGITS), measures)
}

fn map_of(network: &Handmade, measures: &str) -> ModelMap {
    map_in(&network.claiming([]), measures)
}

fn map_in(folder: &ModelFolder, measures: &str) -> ModelMap {
    let text = format!("[claim]\nid = \"X\"\nsays = \"x\"\nconfidence = \"H\"\n{measures}");
    let claim = MapClaim::read("x.toml", &text).unwrap();
    let engine = Engine::new(&folder.weights);
    let baseline =
        Baseline::measure(&engine, folder.operations(), OPTIONS.alpha, OPTIONS.seed).unwrap();
    let lab = Lab::new(folder, &engine, &baseline, OPTIONS);
    measure_claims(&lab, &[claim], &mut |_| {}).unwrap()
}

fn measure(assay: &str, expect: &str) -> MapMeasured {
    measure_of(&addition(DIGITS), assay, expect)
}

fn measure_of(network: &Handmade, assay: &str, expect: &str) -> MapMeasured {
    measure_in(&network.claiming([]), assay, expect)
}

fn measure_in(folder: &ModelFolder, assay: &str, expect: &str) -> MapMeasured {
    let text = format!(
        "[[measure]]\npart = \"sound\"\nsays = \"x\"\nassay.{assay}\nexpect = {{ {expect} }}"
    );
    map_in(folder, &text).claims.remove(0).measured.remove(0)
}

#[track_caller]
fn assert_values(assay: &str, expected: impl Fn(f64) -> bool) {
    assert_values_of(&addition(DIGITS), assay, expected);
}

#[track_caller]
fn assert_values_of(network: &Handmade, assay: &str, expected: impl Fn(f64) -> bool) {
    assert_values_in(&network.claiming([]), assay, expected);
}

#[track_caller]
fn assert_values_in(folder: &ModelFolder, assay: &str, expected: impl Fn(f64) -> bool) {
    let measured = measure_in(folder, assay, "at_least = 0.5");
    assert!(!measured.rows.is_empty(), "{assay}");
    for row in &measured.rows {
        assert!(expected(row.value), "{assay}: {row:?}");
    }
}

const RUNS: &str =
    "stimulus = \"ANY\", digits = \"1 to N-2\", depths = \"0 to N-2\", redrawn = true";

#[test]
fn the_residual_delivers_the_carry_and_idle_heads_do_not() {
    let exchange = |what: &str| {
        format!("interchange = {{ {RUNS}, kind = \"counterfactual\", pairs = 32, {what} }}")
    };
    assert_values(&exchange("exchange = \"residual_alone\""), |v| v == 1.0);
    assert_values(&exchange("exchange = \"residual\""), |v| v == 1.0);
    assert_values(&exchange("exchange = \"combiner\""), |v| v == 1.0);
    assert_values(&exchange("exchange = \"mlp\""), |v| v == 1.0);
    assert_values(&exchange("exchange = \"everything\""), |v| v == 1.0);
    let heads = exchange("exchange = \"consumers\", edge = true");
    assert_values(&heads, |v| v == 0.0);
    let one = exchange("exchange = \"consumer\", edge = true");
    assert_values(&one, |v| v == 0.0);
}

#[test]
fn what_idle_heads_read_or_attend_to_carries_nothing_and_is_not_missed() {
    let exchange = |what: &str| {
        format!("interchange = {{ {RUNS}, kind = \"counterfactual\", pairs = 32, {what} }}")
    };
    for idle in ["from_equals", "from_deciding", "from_elsewhere", "patterns"] {
        assert_values(&exchange(&format!("exchange = \"{idle}\"")), |v| v == 0.0);
    }
    let ablate = |what: &str| {
        exchange(&format!(
            "exchange = \"{what}\", ablate = \"mean\", read = \"kept\""
        ))
    };
    assert_values(&ablate("consumers"), |v| v == 1.0);
    assert_values(&ablate("combiner"), |v| v < 0.7);
}

#[test]
fn the_mixed_model_s_heads_fetch_the_carry_at_the_digits_that_decide_it() {
    let mixed = ModelFolder::bundled();
    let of = |what: &str, classes: &str| {
        format!(
            "interchange = {{ stimulus = \"ANY\", classes = [{classes}], digits = \"2 to 2\", depths = \"1 to 2\", kind = \"counterfactual\", redrawn = true, pairs = 32, {what} }}"
        )
    };
    let (add, sub) = ("\"ADD\"", "\"SUB\"");
    for (what, class, expected) in [
        ("exchange = \"consumers\", edge = true", add, 1.0),
        ("exchange = \"from_deciding\"", add, 1.0),
        ("exchange = \"from_equals\"", add, 0.0),
        ("exchange = \"from_elsewhere\"", add, 0.0),
        ("exchange = \"patterns\"", add, 0.0),
        ("exchange = \"head\"", add, 1.0),
        // The stream carries no borrow, and changes what the heads fetch.
        ("exchange = \"residual_alone\"", sub, 0.0),
        ("exchange = \"residual\"", sub, 1.0),
    ] {
        let near = |value: f64| (value - expected).abs() <= 0.1;
        assert_values_in(&mixed, &of(what, class), near);
    }
    let kept = |by: &str| {
        let what = format!("exchange = \"consumers\", read = \"kept\", ablate = \"{by}\"");
        of(&what, add)
    };
    for by in ["mean", "zero", "resample"] {
        assert_values_in(&mixed, &kept(by), |value| value < 0.8);
    }
}

#[test]
fn attention_that_does_not_depend_on_digits_does_not_move_and_only_moves_digits() {
    let attend = |report: &str| {
        format!(
            "attend = {{ stimulus = \"ANY\", digits = \"1 to N-2\", depths = \"1 to 1\", report = \"{report}\" }}"
        )
    };
    assert_values(&attend("shift"), |v| v.abs() < 1e-6);
    assert_values(&attend("top_moves"), |v| v == 0.0);
    let transport = |report: &str| {
        format!(
            "transport = {{ digits = \"1 to N-1\", at = \"predicts(n)\", report = \"{report}\" }}"
        )
    };
    assert_values(&transport("together"), |v| v.abs() < 1e-3);
    assert_values(&transport("by_sum"), |v| (v - 1.0).abs() < 1e-3);
    // A head that copies a digit to where nothing reads it brings a little along the carry's direction.
    assert_values("contribute = { digits = \"2 to N-1\" }", |v| v.abs() < 0.05);
}

#[test]
fn the_order_of_operands_is_exchanged_with_the_stream_that_holds_it() {
    let mut networks = planted().into_iter();
    let subtracts = networks.find(|network| network.name == "internal-order");
    let network = subtracts.unwrap().handmade;
    let switch = |between: &str, layer: &str| {
        format!(
            "switch = {{ between = \"{between}\", exchange = {{ stream = {{ hook = {{ at = \"resid_post\", layer = {layer} }}, at = \"=\" }} }} }}"
        )
    };
    assert_values_of(&network, &switch("order", "\"last\""), |v| v == 1.0);
    assert_values_of(&network, &switch("same_order", "\"last\""), |v| v == 0.0);
    // All directions of a stream are the stream.
    let all = "switch = { between = \"order\", exchange = { directions = { hook = { at = \"resid_post\", layer = \"last\" }, at = \"=\", rank = 1000 } } }";
    assert_values_of(&network, all, |v| v == 1.0);
}

#[test]
fn a_direction_that_no_head_reads_tells_the_carry_of_no_column() {
    let probe = |report: &str, axis: &str| {
        format!(
            "probe = {{ stimulus = \"FOUR\", digits = \"1 to N-2\", label = \"carry\", hook = {{ at = \"resid_pre\", layer = \"last\" }}, at = \"predicts(n+1)\", axis = \"{axis}\", report = \"{report}\" }}"
        )
    };
    assert_values(&probe("across", "carry_preimage"), |v| v < 0.75);
}

#[test]
fn pairs_with_the_same_carry_change_nothing() {
    for exchange in ["residual_alone", "combiner"] {
        let assay = format!(
            "interchange = {{ {RUNS}, kind = \"control\", read = \"changed\", pairs = 32, exchange = \"{exchange}\" }}"
        );
        assert_values(&assay, |v| v == 0.0);
    }
}

#[test]
fn the_head_that_reads_the_column_carries_what_it_makes() {
    let reader = "interchange = { stimulus = \"BIN\", digits = \"1 to N-1\", kind = \"counterfactual\", exchange = \"reader\", pairs = 32 }";
    let measured = measure(reader, "at_least = 0.5");
    assert_eq!(measured.settled, Some(Settled::Holds));
    assert!(
        measured.rows.iter().all(|row| row.of.contains("L0H2")),
        "{measured:?}"
    );
}

#[test]
fn the_combiner_depends_on_the_carry_where_its_column_passes_it_on() {
    let dependence = |report: &str, layer: &str| {
        format!(
            "dependence = {{ digits = \"2 to N-2\", layer = {layer}, at = \"predicts(n+1)\", report = \"{report}\" }}"
        )
    };
    assert_values(&dependence("ratio", "\"last\""), |v| v.abs() < 0.01);
    assert_values(&dependence("undecided", "\"last\""), |v| v > 0.001);
    // Layer 0 adds up votes, from every column below.
    assert_values(&dependence("ratio", "0"), |v| v > 0.5);
}

#[test]
fn a_carry_is_read_where_it_is_combined_and_not_before() {
    let probe = |at: &str, layer: &str| {
        format!(
            "probe = {{ stimulus = \"FOUR\", digits = \"1 to N-2\", label = \"carry\", hook = {{ at = \"resid_post\", layer = {layer} }}, at = \"{at}\", report = \"within\" }}"
        )
    };
    let read = measure(
        &probe("predicts(n+1)", "0"),
        "at_least = 0.9, p_at_most = 0.05",
    );
    assert_eq!(read.settled, Some(Settled::Holds), "{read:?}");
    let before = measure(&probe("=", "0"), "at_most = 0.7");
    assert_eq!(before.settled, Some(Settled::Holds), "{before:?}");
}

#[test]
fn votes_lie_on_a_line_and_have_no_symbol_for_a_sum_of_nine() {
    let centroids = |report: &str| {
        format!(
            "centroids = {{ digits = \"1 to N-2\", hook = {{ at = \"resid_pre\", layer = \"last\" }}, at = \"predicts(n+1)\", report = \"{report}\" }}"
        )
    };
    assert_values(&centroids("excess"), |v| v.abs() < 0.0625);
}

#[test]
fn a_claim_about_other_models_is_not_applicable() {
    let claim = "[model]\ndoes = [\"sub\"]\n[[measure]]\npart = \"sound\"\nsays = \"x\"\nassay.digits = { of = \"embedding\", report = \"dimensions\" }\nexpect = { at_least = 1.0 }";
    let map = map(claim);
    assert_eq!(map.claims[0].verdict, MapVerdict::NotApplicable);
    assert_eq!(
        map.claims[0].reason,
        "requires training for subtraction, but the model has only add"
    );
}

#[test]
fn a_sweep_of_a_message_that_moves_nothing_decides_nothing() {
    let mix = format!(
        "[[measure]]\npart = \"sound\"\nsays = \"x\"\nassay.mix = {{ {RUNS}, report = \"steepest_quarter\" }}\nexpect = {{ at_least = 0.5 }}"
    );
    let result = map(&mix).claims.remove(0);
    assert_eq!(result.verdict, MapVerdict::NotApplicable);
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let assay = format!(
        "interchange = {{ {RUNS}, kind = \"counterfactual\", pairs = 16, exchange = \"reader\" }}"
    );
    assert_eq!(
        measure(&assay, "at_least = 0.5"),
        measure(&assay, "at_least = 0.5")
    );
}
