//! Experiments on networks written by hand: for every kind of act and reading, one that must show what
//! it says and one that must not.
//!
//! The network `cross-layer` adds two digits. P5L0H3 takes D0 to `=`, P8L1H3 takes it from there to where
//! A0 is predicted, P8L0H0 takes D'0 there, and both sums meet in P8L1M0.

use circuitcheck::domain::node::NodeName;
use circuitcheck::domain::task::Variable;
use circuitcheck::experiment::assay::{
    Experiment, ExperimentResult, ExperimentSetting, ExperimentVerdict, run,
};
use circuitcheck::network::engine::Engine;
use circuitcheck::network::handmade::{Planted, planted};

fn cross_layer() -> Planted {
    let all = planted().into_iter();
    let mut named = all.filter(|planted| planted.name == "cross-layer");
    named.next().unwrap()
}

fn outcome(text: &str) -> ExperimentResult {
    let Planted { handmade, .. } = cross_layer();
    let engine = Engine::new(&handmade.weights);
    let claimed: Vec<(NodeName, Variable)> = handmade.true_claims.keys().copied().collect();
    let setting = ExperimentSetting {
        engine: &engine,
        claimed: &claimed,
        seed: 1,
    };
    let experiment = Experiment::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    run(&experiment, &setting).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// Pairs that differ in the base sum of the units, a way to act, what is read, and the rule.
fn experiment(act: &str, read: &str, rule: &str) -> String {
    format!(
        "says = \"a test\"\nact = [{act}]\nread = {{ {read} }}\nrule = {{ {rule} }}\n\
         [pairs]\nfrom = \"variable\"\nvariable = \"A0.SA\"\ncount = 200\n"
    )
}

const PREDICTED: &str = "what = \"predicted\", token = \"A0\"";
const MOSTLY: &str = "at_least = 0.95";

#[track_caller]
fn shown(act: &str, read: &str, rule: &str) {
    let outcome = outcome(&experiment(act, read, rule));
    assert_eq!(
        outcome.verdict,
        ExperimentVerdict::Shown,
        "{act}: {:?}",
        outcome.measured
    );
}

#[track_caller]
fn not_shown(act: &str, read: &str, rule: &str) {
    let outcome = outcome(&experiment(act, read, rule));
    assert_eq!(
        outcome.verdict,
        ExperimentVerdict::NotShown,
        "{act}: {:?}",
        outcome.measured
    );
}

fn swap(at: &str) -> String {
    format!("{{ do = \"swap\", at = [{at}] }}")
}

#[test]
fn the_stream_where_a_digit_is_predicted_carries_it_and_the_one_beside_does_not() {
    for site in [
        "P8L1",
        "P8L1.resid_mid",
        "P8.ln_final",
        "blocks.1.hook_resid_post[8]",
    ] {
        shown(&swap(&format!("\"{site}\"")), PREDICTED, MOSTLY);
    }
    for site in ["P7L1", "P7.ln_final", "P8L1.resid_pre", "P8L1H0.q"] {
        not_shown(&swap(&format!("\"{site}\"")), PREDICTED, MOSTLY);
    }
}

#[test]
fn an_edge_that_carries_does_and_one_that_only_correlates_does_not() {
    // The carry into A2 is voted on by P6L0M0, which reads the sum of column 1 from P6L0H1.
    let carried = |edge: &str, scale: &str| {
        outcome(&format!(
            "says = \"a test\"\nscale = \"{scale}\"\nact = [{}]\n\
             read = {{ what = \"predicted\", token = \"A2\" }}\nrule = {{ {MOSTLY} }}\n\
             [pairs]\nfrom = \"variable\"\nvariable = \"A1.SC\"\ncount = 200\n",
            swap(&format!("\"{edge}\""))
        ))
    };
    for edge in ["P6L0H1 -> P6L0M0", "P6L0H1<P0+P3 -> P6L0M0"] {
        for scale in ["frozen", "running"] {
            let outcome = carried(edge, scale);
            assert_eq!(
                outcome.verdict,
                ExperimentVerdict::Shown,
                "{edge}: {:?}",
                outcome.measured
            );
        }
    }
    for edge in [
        // It holds the sum of column 1 just as well, where A1 is predicted.
        "P7L0H0 -> P7L0M0",
        // One of the two addends.
        "P6L0H1<P0 -> P6L0M0",
        // Not where the head reads.
        "P6L0H1<P1+P4 -> P6L0M0",
        // The other column.
        "P6L0H2 -> P6L0M0",
    ] {
        let outcome = carried(edge, "frozen");
        assert_eq!(
            outcome.verdict,
            ExperimentVerdict::NotShown,
            "{edge}: {:?}",
            outcome.measured
        );
    }
}

#[test]
fn an_edge_into_a_head_is_exchanged_for_that_head_alone() {
    let with_second = |edge: &str| swap(&format!("\"P8L0H0\", \"{edge}\""));
    for edge in ["P5L0H3 -> P8L1H3", "P5L0H3 -> P5L1H3.v"] {
        shown(&with_second(edge), PREDICTED, MOSTLY);
    }
    for edge in ["P5L0H3 -> P5L1M0", "P5L0H3 -> P8L1H0", "P8L0H0 -> P8L1H3"] {
        not_shown(&with_second(edge), PREDICTED, MOSTLY);
    }
    // One of two addends alone.
    not_shown(&swap("\"P5L0H3 -> P8L1H3\""), PREDICTED, MOSTLY);
}

#[test]
fn the_nodes_of_the_circuit_suffice_and_without_one_they_do_not() {
    let keep = |at: &str| format!("{{ do = \"keep_only\", at = [{at}], by = \"mean\" }}");
    let right = "what = \"right\", token = \"A0\"";
    let circuit = "\"P8L*M*\", \"P8L0H0\", \"P8L1H3\", \"P5L0H3\"";
    shown(&keep(circuit), right, MOSTLY);
    shown(&keep("\"P*L**\""), right, MOSTLY);
    not_shown(&keep("\"P8L*M*\", \"P8L0H0\", \"P8L1H3\""), right, MOSTLY);
    let ablate = |at: &str, by: &str| format!("{{ do = \"ablate\", at = [{at}], by = \"{by}\" }}");
    for by in ["mean", "resample"] {
        not_shown(&ablate("\"P8L0H0\"", by), right, MOSTLY);
        shown(&ablate("\"P7L*H*\"", by), right, MOSTLY);
    }
    // P8L0H0 alone is claimed for the sum's second addend, jointly with the others.
    not_shown(&ablate("\"claimed A0.SA\"", "mean"), right, MOSTLY);
}

#[test]
fn a_sum_rises_along_a_line_behind_the_last_norm_and_steps_before_a_vote() {
    let sweep = |at: &str| format!("{{ do = \"interpolate\", at = [\"{at}\"] }}");
    let width = "what = \"step_width\", token = \"A0\"";
    shown(
        &sweep("P8.ln_final"),
        width,
        "at_least = 0.79, at_most = 0.81",
    );
    not_shown(&sweep("P8.ln_final"), width, "at_most = 0.5");
    // The carry out of the units is decided by a threshold on their sum.
    let carry = |site: &str, rule: &str| {
        outcome(&format!(
            "says = \"a test\"\nact = [{}]\nread = {{ what = \"step_width\", token = \"A2\" }}\n\
             rule = {{ {rule} }}\n[pairs]\nfrom = \"variable\"\nvariable = \"A1.SC\"\ncount = 200\n",
            sweep(site)
        ))
    };
    let step = carry("P6L0H1", "at_most = 0.5");
    assert_eq!(
        step.verdict,
        ExperimentVerdict::Shown,
        "{:?}",
        step.measured
    );
    let ramp = carry("P6.ln_final", "at_most = 0.5");
    assert_eq!(
        ramp.verdict,
        ExperimentVerdict::NotShown,
        "{:?}",
        ramp.measured
    );
}

#[test]
fn halfway_to_the_source_is_not_the_source() {
    let moved = |share: f64| {
        format!("{{ do = \"interpolate\", at = [\"P8.ln_final\"], share = {share:.1} }}")
    };
    shown(&moved(1.0), PREDICTED, MOSTLY);
    shown(
        &moved(1.0),
        "what = \"logit_difference\", token = \"A0\"",
        "at_least = 0.1",
    );
    not_shown(&moved(0.1), PREDICTED, MOSTLY);
    not_shown(
        &moved(0.1),
        "what = \"logit_difference\", token = \"A0\"",
        "at_least = 0.1",
    );
}

#[test]
fn a_digit_lies_in_one_direction_of_its_head_and_in_none_of_another() {
    // Both addends of the sum, which is one number in the weights.
    let within = |first: &str, rank: usize| {
        format!(
            "{{ do = \"swap_within\", at = [\"{first}\"], rank = {rank} }}, \
             {{ do = \"swap\", at = [\"P8L0H0\"] }}"
        )
    };
    shown(&within("P8L1H3", 1), PREDICTED, MOSTLY);
    not_shown(&within("P7L0H0", 1), PREDICTED, MOSTLY);
}

#[test]
fn a_head_attends_where_it_reads_and_not_elsewhere() {
    let attends = |head: &str, on: &str| {
        let read = format!("what = \"attention\", head = \"{head}\", on = [{on}]");
        outcome(&experiment("", &read, "at_least = 0.9"))
    };
    assert_eq!(attends("P8L1H3", "5").verdict, ExperimentVerdict::Shown);
    // It takes half of the digit, and rests on the operator.
    assert_eq!(attends("P8L0H0", "2, 4").verdict, ExperimentVerdict::Shown);
    assert_eq!(attends("P8L0H0", "4").verdict, ExperimentVerdict::NotShown);
    assert_eq!(
        attends("P8L0H0", "0, 3").verdict,
        ExperimentVerdict::NotShown
    );
}

#[test]
fn a_control_that_shows_the_same_is_told() {
    let controlled = |act: &str, control: &str| {
        let text = experiment(act, PREDICTED, "at_least = 0.95, control_at_most = 0.05");
        outcome(&format!("{text}\n[[control]]\n{control}\n"))
    };
    let act = swap("\"P8L0H0\", \"P8L1H3\"");
    for control in [
        "by = \"same_value\"",
        "by = \"elsewhere\"\nat = [\"P7L0H0\"]",
        "by = \"random_sets\"\nsets = 4",
    ] {
        assert_eq!(
            controlled(&act, control).verdict,
            ExperimentVerdict::Shown,
            "{control}"
        );
    }
    let elsewhere = "by = \"elsewhere\"\nat = [\"P8L1\"]";
    assert_eq!(
        controlled(&act, elsewhere).verdict,
        ExperimentVerdict::ControlFails
    );
    let by_untrained = "by = \"untrained\"";
    // One token in fifteen is as predicted by chance.
    assert!(
        controlled(&act, by_untrained).controls[0]
            .figure
            .bounds()
            .upper
            < 0.3
    );
}

#[test]
fn an_untrained_network_shows_what_any_network_does() {
    let at = |site: &str| {
        outcome(&format!(
            "says = \"a test\"\nact = [{}]\nread = {{ {PREDICTED} }}\n\
             rule = {{ at_least = 0.95, control_at_most = 0.5 }}\n\
             pairs = {{ from = \"class\", class = \"ADD\" }}\ncontrol = [{{ by = \"untrained\" }}]\n",
            swap(&format!("\"{site}\""))
        ))
    };
    // The whole stream gives the source's answer in any network.
    let whole = at("P8L1.resid_mid");
    assert_eq!(whole.verdict, ExperimentVerdict::ControlFails);
    assert!(whole.controls[0].figure.bounds().lower > 0.8);
    assert!(at("P8L0H0").controls[0].figure.bounds().upper < 0.5);
}

#[test]
fn an_experiment_is_a_sentence_and_its_json_runs_again() {
    let text = experiment(&swap("\"P8L0H0\", \"P8L1H3\""), PREDICTED, MOSTLY);
    let outcome = outcome(&text);
    assert_eq!(
        outcome.sentence,
        "Of 200 pairs of questions that differ in A0.SA, with P8L0H0 and P8L1H3 as in the source \
         question, A0 is as predicted in at least 0.95."
    );
    let json = serde_json::to_value(&outcome).unwrap();
    let again: Experiment = serde_json::from_value(json["experiment"].clone()).unwrap();
    assert_eq!(again, outcome.experiment);
    assert_eq!(json["seed"], 1);
    assert_eq!(json["measured"]["figure"]["rate"]["trials"], 200);
}

#[test]
fn what_does_not_go_together_is_refused_with_the_reason() {
    let refused = |act: &str, read: &str| {
        let Planted { handmade, .. } = cross_layer();
        let engine = Engine::new(&handmade.weights);
        let setting = ExperimentSetting {
            engine: &engine,
            claimed: &[],
            seed: 1,
        };
        let experiment = Experiment::parse(&experiment(act, read, MOSTLY)).unwrap();
        run(&experiment, &setting).unwrap_err().to_string()
    };
    for (act, read, reason) in [
        (
            swap("\"P30L0\""),
            PREDICTED,
            "site P30L0 is position 30, the model has positions 0 to 9",
        ),
        (
            swap("\"claimed A1.ST\""),
            PREDICTED,
            "the model has no node claimed A1.ST",
        ),
        (
            "{ do = \"keep_only\", at = [\"P8L0\"], by = \"mean\" }".into(),
            PREDICTED,
            "P8L0 is no node: only nodes form sets",
        ),
        (
            swap("\"P8L0H0\""),
            "what = \"step_width\", token = \"A0\"",
            "step_width is read of an interpolation without a share",
        ),
        (
            "{ do = \"swap_within\", at = [\"P8L0H0\"], rank = 0 }".into(),
            PREDICTED,
            "rank 0 at P8L0H0: expected 1 to",
        ),
        (
            String::new(),
            "what = \"attention\", head = \"P3L0H0\", on = [4]",
            "P3L0H0 cannot attend to P4, which is after it",
        ),
    ] {
        let error = refused(&act, read);
        assert!(error.starts_with(reason), "{error}");
    }
    for text in ["", "says = 1", "[pairs]\nfrom = \"nowhere\""] {
        assert!(Experiment::parse(text).is_err(), "{text}");
    }
}
