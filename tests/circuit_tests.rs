//! The tests of circuits on networks written by hand, whose circuits are known.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use circuitcheck::analysis::circuit::{
    CircuitEvidence, CircuitTests, Claimed, ClassTests, Comparing, Decision, NamedCircuit, NodeSet,
    Scoring, TestBench,
};
use circuitcheck::domain::arithmetic::Class;
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::experiment::Baseline;
use circuitcheck::network::engine::Engine;
use circuitcheck::network::handmade::addition;
use circuitcheck::report::circuit_markdown;
use serde_json::{Value, json};

/// Questions, half of which are judged on.
const QUESTIONS: usize = 160;

const TESTING: Scoring = Scoring {
    random_sets: 19,
    alpha: 0.01,
    seed: 1,
};

/// The hand-written network that adds two digits. Its positions 6, 7 and 8 predict A2, A1 and A0.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(&addition(2).weights));

static BENCH: LazyLock<TestBench> = LazyLock::new(|| {
    let operations = addition(2).operations;
    let baseline = Baseline::measure(&ENGINE, operations, 0.01, 1).unwrap();
    TestBench::new(&ENGINE, &baseline, QUESTIONS).unwrap()
});

fn node(name: &str) -> Node {
    let name: NodeName = name.parse().unwrap();
    name.resolve(&ENGINE.shape()).unwrap()
}

/// Every node that an answer depends on, without two of the three heads that vote on the lowest column:
/// ablated, those two vote one half each, and the third decides.
fn minimal_circuit() -> NodeSet {
    let claims = addition(2).true_claims;
    let claimed: BTreeSet<NodeName> = claims.keys().map(|(node, _)| *node).collect();
    let mut nodes: NodeSet = claimed
        .iter()
        .map(|name| name.resolve(&ENGINE.shape()).unwrap())
        .collect();
    // No carry comes into digit 0, so that nothing is claimed of the MLP that subtracts its ten.
    nodes.insert(node("P8L1M0"));
    for spare in ["P7L0H3", "P7L0H4"] {
        assert!(nodes.remove(&node(spare)), "{spare}");
    }
    nodes
}

fn without(name: &str) -> NodeSet {
    let mut nodes = minimal_circuit();
    assert!(nodes.remove(&node(name)), "{name}");
    nodes
}

fn tested(keep: &NodeSet, claimed: Option<&Claimed>) -> CircuitTests {
    BENCH.test(keep, claimed, TESTING, &mut |_, _| {}).unwrap()
}

fn only(tests: &CircuitTests) -> &ClassTests {
    let [class] = &tests.classes[..] else {
        panic!("{tests:?}")
    };
    class
}

static OF_CIRCUIT: LazyLock<CircuitTests> = LazyLock::new(|| tested(&minimal_circuit(), None));
static WITHOUT_SUM: LazyLock<CircuitTests> = LazyLock::new(|| tested(&without("P7L0H0"), None));
static OF_NOTHING: LazyLock<CircuitTests> = LazyLock::new(|| tested(&NodeSet::new(), None));

// Faithfulness.

#[test]
fn the_true_circuit_is_faithful_and_one_without_a_needed_node_is_not() {
    let share = |tests: &CircuitTests| only(tests).faithfulness.clone().unwrap().circuit;
    let whole = share(&OF_CIRCUIT);
    let interval = whole.interval.unwrap();
    assert!((whole.value - 1.0).abs() < 1e-3, "{whole:?}");
    assert!(interval.upper - interval.lower < 1e-2, "{whole:?}");
    let less = share(&WITHOUT_SUM);
    assert!(less.interval.unwrap().upper < 0.95, "{less:?}");
    assert_eq!(share(&OF_NOTHING).value, 0.0);
}

#[test]
fn a_curve_is_at_one_from_where_it_holds_the_circuit_on() {
    let found = only(&OF_CIRCUIT).faithfulness.clone().unwrap();
    let size = minimal_circuit().len();
    let curve = &found.circuit_first.points;
    assert_eq!(curve.last().unwrap().nodes, BENCH.nodes().len());
    let (holding, not) = curve.split_at(curve.partition_point(|point| point.nodes < size));
    assert!(!holding.is_empty() && not.len() >= 2, "{curve:?}");
    for point in not {
        assert!((point.faithfulness.value - 1.0).abs() < 1e-3, "{point:?}");
    }
    // Without its weakest node alone f is 0.993.
    for point in holding {
        assert!(point.faithfulness.value < 0.998, "{point:?}");
    }
    let cpr = |tests: &CircuitTests| {
        let found = only(tests).faithfulness.clone().unwrap();
        (found.circuit_first.cpr.value, found.circuit_first.cmd.value)
    };
    // Idle nodes first push the needed ones back.
    let idle: NodeSet = BENCH.nodes() - &minimal_circuit();
    let (of_idle, of_circuit) = (cpr(&tested(&idle, None)), cpr(&OF_CIRCUIT));
    assert!(of_circuit.0 > of_idle.0 + 0.3, "{of_circuit:?} {of_idle:?}");
    assert!(of_circuit.1 < of_idle.1 - 0.3, "{of_circuit:?} {of_idle:?}");
}

#[test]
fn the_same_seed_gives_the_same_tests() {
    assert_eq!(tested(&minimal_circuit(), None), *OF_CIRCUIT);
}

// Causal scrubbing.

/// What decides a column's answer digit: its sum, which SA and ST fix together, and at the last layer's
/// MLP the carry into the column and out of it. At digit 0 each head holds one operand's digit, which no
/// variable names, so that the nodes there keep their values. A variable may be put for another.
fn claimed(sum: &[&str]) -> Claimed {
    let claims: [(&str, &[&str]); 8] = [
        ("P7L0H0", sum),
        ("P7L0H2", &["A0.ST"]),
        ("P7L0M0", &["A0.ST"]),
        ("P7L1M0", &["A1.STC", "A1.SV"]),
        ("P6L0H2", &["A1.ST"]),
        ("P6L0H5", &["A0.ST"]),
        ("P6L0M0", &["A1.SV"]),
        ("P6L1M0", &["A2.STC"]),
    ];
    let claims = claims.iter().map(|(name, variables)| {
        let variables = variables.iter().map(|variable| variable.parse().unwrap());
        (node(name), variables.collect())
    });
    claims.collect()
}

fn recovered(keep: &NodeSet, claimed: &Claimed) -> (f64, f64) {
    let tests = tested(keep, Some(claimed));
    let scrubbing = only(&tests).scrubbing.clone().unwrap();
    assert_eq!(scrubbing.left_out, 0);
    let share = scrubbing.recovered.unwrap();
    let interval = share.interval.unwrap();
    (interval.lower, interval.upper)
}

#[test]
fn scrubbing_with_the_variables_that_decide_recovers_the_loss() {
    let (lower, upper) = recovered(&minimal_circuit(), &claimed(&["A1.SA", "A1.ST"]));
    assert!(lower > 0.99 && upper < 1.01, "[{lower}, {upper}]");
}

#[test]
fn scrubbing_with_another_variable_does_not() {
    // The sum modulo ten, another column's sum, and no variable of this class.
    for sum in [&["A1.SA"][..], &["A0.SA", "A0.ST"], &["A1.MD"]] {
        let (_, upper) = recovered(&minimal_circuit(), &claimed(sum));
        assert!(upper < 0.95, "{sum:?}: {upper}");
    }
}

#[test]
fn scrubbing_a_circuit_without_a_needed_node_does_not_recover_the_loss() {
    let claimed = claimed(&["A1.SA", "A1.ST"]);
    let (_, upper) = recovered(&without("P7L0H0"), &claimed);
    assert!(upper < 0.95, "{upper}");
    assert_eq!(recovered(&NodeSet::new(), &claimed), (0.0, 0.0));
}

#[test]
fn the_claims_alone_are_scrubbed_with_the_other_nodes_left_as_they_are() {
    let alone = |sum: &[&str]| {
        let tests = tested(&without("P6L0M0"), Some(&claimed(sum)));
        let scrubbing = only(&tests).claims_alone.clone().unwrap();
        assert_eq!(scrubbing.random, 0);
        scrubbing.recovered.unwrap().interval.unwrap()
    };
    let right = alone(&["A1.SA", "A1.ST"]);
    assert!(right.lower > 0.99 && right.upper < 1.01, "{right:?}");
    let wrong = alone(&["A0.SA", "A0.ST"]);
    assert!(wrong.upper < 0.95, "{wrong:?}");
}

#[test]
fn nodes_without_claims_are_not_scrubbed() {
    assert_eq!(only(&OF_CIRCUIT).scrubbing, None);
}

// Hypothesis tests.

#[test]
fn the_true_circuit_is_equivalent_and_one_without_a_needed_node_is_not() {
    let equivalence = |tests: &CircuitTests| {
        let found = only(tests).hypotheses.clone().unwrap().equivalence;
        (found.decision, found.p_value)
    };
    let (decision, p_value) = equivalence(&OF_CIRCUIT);
    assert!(decision == Decision::Shown && p_value > 0.5, "{p_value}");
    for tests in [&*WITHOUT_SUM, &*OF_NOTHING] {
        let (decision, p_value) = equivalence(tests);
        assert!(
            decision == Decision::Rejected && p_value < 0.01,
            "{p_value}"
        );
    }
}

#[test]
fn without_the_true_circuit_the_network_says_nothing_of_the_answer_and_else_it_does() {
    let independence = |tests: &CircuitTests| only(tests).hypotheses.clone().unwrap().independence;
    let found = independence(&OF_CIRCUIT);
    assert_eq!(found.decision, Decision::Open, "{found:?}");
    let found = independence(&WITHOUT_SUM);
    assert_eq!(found.decision, Decision::Rejected, "{found:?}");
    let dependent: Vec<String> = (found.tokens.iter())
        .filter(|token| token.p_value < 0.002)
        .map(|token| token.token.to_string())
        .collect();
    assert_eq!(dependent, ["A1"], "{found:?}");
    assert_eq!(independence(&OF_NOTHING).decision, Decision::Rejected);
}

#[test]
fn random_sets_are_worse_than_the_true_circuit_and_as_good_as_an_idle_one() {
    let random = |tests: &CircuitTests| only(tests).hypotheses.clone().unwrap().random;
    let found = random(&OF_CIRCUIT);
    assert_eq!((found.sets, found.sufficiency_p_value), (19, 0.05));
    // Both operands' digits at A0, and the sum at A1.
    let needed: NodeSet = ["P7L0H0", "P8L0H0", "P8L0H1"].map(node).into();
    assert_eq!(random(&tested(&needed, None)).necessity_p_value, 0.05);
    let idle: NodeSet = ["P6L1H0", "P7L1H0", "P8L1H0"].map(node).into();
    let found = random(&tested(&idle, None));
    assert!(found.sufficiency_p_value > 0.1, "{found:?}");
    assert_eq!(found.necessity_p_value, 1.0);
}

#[test]
fn the_true_circuit_is_minimal_and_one_with_idle_nodes_is_not() {
    let found = OF_CIRCUIT.minimality.clone().unwrap();
    assert_eq!(found.decision, Decision::Shown, "{found:?}");
    assert_eq!(found.nodes.len(), minimal_circuit().len());
    let mut padded = minimal_circuit();
    padded.insert(node("P7L1H0"));
    let found = tested(&padded, None).minimality.unwrap();
    assert_eq!(found.decision, Decision::Rejected);
    let idle = found.nodes.last().unwrap();
    assert_eq!((idle.node, idle.change), (node("P7L1H0").name(), 0.0));
    // Nothing is missed of nothing, and nothing is outside of everything.
    assert_eq!(OF_NOTHING.minimality, None);
    assert_eq!(tested(BENCH.nodes(), None).minimality, None);
}

#[test]
fn on_too_few_questions_nothing_is_tested() {
    let baseline = Baseline::measure(&ENGINE, addition(2).operations, 0.01, 1).unwrap();
    let bench = TestBench::new(&ENGINE, &baseline, 19).unwrap();
    let tests = bench.test(&minimal_circuit(), None, TESTING, &mut |_, _| {});
    let tests = tests.unwrap();
    assert!(
        tests.classes.is_empty() && tests.minimality.is_none(),
        "{tests:?}"
    );
    assert_eq!(tests.too_few, [Class::Add]);
}

// Files.

#[test]
fn tests_of_a_model_s_claims_are_stored_read_back_and_shown() {
    let handmade = addition(2);
    let folder = handmade.claiming(handmade.true_claims.keys());
    let comparing = Comparing {
        questions: 60,
        random_sets: 2,
        tests: true,
        ..Comparing::default()
    };
    let circuits = vec![NamedCircuit::claimed(&folder).unwrap()];
    let evidence = comparing.compare(&folder, &ENGINE, circuits, &mut |_| {});
    let evidence = evidence.unwrap().unwrap();
    let json = evidence.to_json();
    let read = CircuitEvidence::from_json(json.as_bytes()).unwrap();
    assert_eq!(read.to_json(), json);
    for (place, figure) in [
        ("classes/0/hypotheses/equivalence/p_value", json!(7.0)),
        ("classes/0/hypotheses/equivalence/worse", json!(u64::MAX)),
        ("classes/0/faithfulness/circuit/interval/lower", json!(1e9)),
        ("minimality/random_nodes", json!(0)),
        ("minimality/nodes", json!([])),
    ] {
        let mut edited: Value = serde_json::from_str(&json).unwrap();
        let path = format!("/circuits/0/tests/{place}");
        *edited.pointer_mut(&path).unwrap() = figure;
        let error = CircuitEvidence::from_json(edited.to_string().as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("figures that no test gives"),
            "{place}: {error}"
        );
    }
    let [class] = &read.circuits[0].tests.as_ref().unwrap().classes[..] else {
        panic!("{json}")
    };
    assert_eq!((class.ranked_on, class.judged_on), (60, 60));
    let scrubbing = class.scrubbing.as_ref().unwrap();
    let nodes = scrubbing.agreeing + scrubbing.random + scrubbing.kept;
    assert_eq!((nodes, scrubbing.kept), (read.available, 0));
    let page = circuit_markdown(&read);
    assert_eq!(page, circuit_markdown(&evidence));
    for shown in [
        "ADD: faithfulness ",
        "ADD: causal scrubbing, ",
        "Faithfulness on ADD ",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}
