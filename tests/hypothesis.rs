//! Hypotheses: their files, what they say of networks whose truth is known, and the shipped ones.

mod common;

use std::path::PathBuf;
use std::sync::LazyLock;

use circuitcheck::analysis::circuit::{
    Circuit, CircuitError, CircuitEvidence, CircuitScore, NodeSet, Scoring, Workbench, grow,
    minimality, prune,
};
use circuitcheck::analysis::graph::{Budget, KnownClaim, KnownClaims};
use circuitcheck::analysis::hypothesis::{
    ClauseResult, Hypothesis, HypothesisError, TestedHypothesis, Tester,
};
use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::experiment::{Baseline, Rules};
use circuitcheck::inputs::model::{ModelFolder, Operations};
use circuitcheck::network::engine::{Engine, Site};
use circuitcheck::network::handmade::{Carries, Handmade, addition};
use circuitcheck::report::circuit_markdown;
use circuitcheck::verify::VerdictKind;

use common::root;

fn shipped() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("hypotheses")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    files
}

fn error(text: &str) -> String {
    Hypothesis::read("h.toml", text).unwrap_err().to_string()
}

const NAME: &str = "name = \"x\"\n";

// The file.

#[test]
fn every_shipped_hypothesis_is_read() {
    let files = shipped();
    assert!(files.len() >= 4);
    for path in files {
        let file = path.display().to_string();
        Hypothesis::read(&file, &std::fs::read_to_string(&path).unwrap()).unwrap();
    }
}

#[test]
fn an_error_shows_the_line_and_what_was_expected() {
    for (clause, line, expected) in [
        (
            "[[exists]]\nsays = \"s\"\nclaim = \"XY n\"\nfor = \"0 to 1\"",
            "claim = \"XY n\"",
            "unknown task \"XY\"",
        ),
        (
            "[[exists]]\nsays = \"s\"\nclaim = \"SA\"",
            "claim = \"SA\"",
            "task SA needs a digit, such as SA n",
        ),
        (
            "[[exists]]\nsays = \"s\"\nclaim = \"SA n\"\nfor = \"0..3\"",
            "for = \"0..3\"",
            "invalid digit range",
        ),
        (
            "[[exists]]\nsays = \"s\"\nclaim = \"SA n\"\nfor = \"n to 3\"",
            "for = \"n to 3\"",
            "a range for n cannot itself depend on n",
        ),
        (
            "[[exists]]\nsays = \"s\"\nclaim = \"SA 0\"\nat = \"near op\"",
            "at = \"near op\"",
            "is not a comparison",
        ),
        (
            "[[exists]]\nsays = \"s\"\nclaim = \"SA 0\"\nat = \"<= Q(0)\"",
            "at = \"<= Q(0)\"",
            "invalid position",
        ),
        (
            "[[exists]]\nsays = \"s\"\nclaim = \"SA 0\"\nwhere = \"x\"",
            "where = \"x\"",
            "unknown field `where`",
        ),
        (
            "[[intervention]]\nsays = \"s\"\nclaims = [\"A0.SA\"]",
            "claims = [\"A0.SA\"]",
            "has no node",
        ),
        (
            "[[keep]]\nsays = \"s\"\nnodes = [\"P1\"]",
            "nodes = [\"P1\"]",
            "is no node name",
        ),
    ] {
        let error = error(&format!("{NAME}{clause}\n"));
        let number = 1 + NAME.lines().count() + clause.lines().position(|l| l == line).unwrap();
        assert!(error.starts_with("h.toml: TOML parse error"), "{error}");
        assert!(
            error.contains(&format!("line {number}")),
            "{number}: {error}"
        );
        assert!(error.contains(line) && error.contains(expected), "{error}");
    }
}

#[test]
fn a_file_without_a_clause_is_refused() {
    assert!(error(NAME).starts_with("h.toml: no clause"));
}

#[test]
fn a_clause_that_speaks_of_n_and_runs_over_nothing_is_refused_by_its_words() {
    for clause in [
        "[[exists]]\nsays = \"a sum\"\nclaim = \"SA n\"\n",
        "[[order]]\nsays = \"a sum\"\nfirst = \"MT n\"\nthen = \"op\"\n",
        "[[feeds]]\nsays = \"a sum\"\nfrom = \"SA 1\"\nto = \"A(n)\"\n",
        "[[shared]]\nsays = \"a sum\"\nclaims = [\"SA n\"]\n",
        "[[keep]]\nsays = \"a sum\"\nat = \"== predicts(n)\"\n",
    ] {
        let error = Hypothesis::read("h.toml", &format!("{NAME}{clause}")).unwrap_err();
        assert!(
            matches!(error, HypothesisError::NothingRuns { .. }),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("clause \"a sum\" uses n but has no range")
        );
    }
}

#[test]
fn a_hypothesis_about_another_model_is_refused_with_both_sides() {
    let shape = addition(2).weights.shape();
    for (condition, message) in [
        (
            "does = [\"sub\"]",
            "requires training for subtraction, but the model has only add",
        ),
        (
            "layers_from = 3",
            "requires at least 3 layers, but the model has 2",
        ),
        (
            "layers_to = 1",
            "requires at most 1 layers, but the model has 2",
        ),
        (
            "heads_from = 9",
            "requires at least 9 heads per layer, but the model has 6",
        ),
        (
            "digits_to = 1",
            "requires at most 1 digits, but the model has 2",
        ),
        (
            "name = \"w126_*_l2\"",
            "requires a name matching w126_*_l2, but the model has the name handmade",
        ),
    ] {
        let text = format!("{NAME}[model]\n{condition}\n[[keep]]\nsays = \"k\"\n");
        let hypothesis = Hypothesis::read("h.toml", &text).unwrap();
        let error = hypothesis
            .check_model("handmade", Operations::Add, &shape)
            .unwrap_err();
        assert_eq!(error.to_string(), format!("\"x\" {message}"));
    }
    let text = format!("{NAME}[model]\nname = \"h*m*e\"\nlayers_to = 2\n[[keep]]\nsays = \"k\"\n");
    let hypothesis = Hypothesis::read("h.toml", &text).unwrap();
    hypothesis
        .check_model("handmade", Operations::Add, &shape)
        .unwrap();
}

// The hand-written network.

/// The hand-written network of three digits with its true claims.
struct Bench {
    engine: Engine,
    known: KnownClaims,
    baseline: Baseline,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let handmade = addition(3);
    let engine = Engine::new(&handmade.weights);
    Bench {
        known: true_claims(&handmade),
        baseline: Baseline::measure(&engine, Operations::Add, 0.01, 1).unwrap(),
        engine,
    }
});

fn true_claims(handmade: &Handmade) -> KnownClaims {
    let shape = handmade.weights.shape();
    let claims = &handmade.true_claims;
    let all = claims.iter().map(|((node, variable), carries)| {
        let together = claims
            .iter()
            .filter(|((_, other), c)| other == variable && *c == carries)
            .map(|((node, _), _)| node.resolve(&shape).unwrap());
        KnownClaim {
            claim: format!("{node} {variable}"),
            variable: *variable,
            nodes: match carries {
                Carries::Alone => vec![node.resolve(&shape).unwrap()],
                _ => together.collect(),
            },
            verdict: Some(VerdictKind::Supported),
        }
    });
    KnownClaims {
        claims: all.collect(),
        left_out: Vec::new(),
    }
}

fn tested(known: &KnownClaims, text: &str) -> TestedHypothesis {
    let bench = &*BENCH;
    let questions: Vec<Prompt> = bench
        .baseline
        .right
        .values()
        .flatten()
        .map(|&question| Prompt::truth(question))
        .collect();
    let sites = Node::all(&bench.engine.shape()).into_iter().map(Site::from);
    let tester = Tester {
        engine: &bench.engine,
        operations: Operations::Add,
        known,
        baseline: &bench.baseline,
        means: &bench.engine.mean_activations(&questions, sites).unwrap(),
        budget: Budget {
            trials: 128,
            alpha: 0.01,
            seed: 1,
            relayed: true,
        },
        rules: Rules {
            threshold: 0.95,
            alpha: 0.01,
            max_trials: 2048,
            seed: 1,
        },
    };
    let hypothesis = Hypothesis::read("h.toml", &format!("{NAME}{text}")).unwrap();
    tester.test("h.toml", &hypothesis).unwrap()
}

fn only(tested: &TestedHypothesis) -> &ClauseResult {
    assert_eq!(tested.clauses.len(), 1);
    &tested.clauses[0]
}

#[test]
fn what_is_true_of_the_handwritten_network_is_met() {
    for clause in [
        "[[exists]]\nclaim = \"SA n\"\nfor = \"0 to N-1\"\nkind = \"head\"\nat = \"== predicts(n)\"",
        "[[exists]]\nclaim = \"SC n-1\"\nfor = \"1 to N\"\nkind = \"mlp\"\nlayer = 0",
        "[[exists]]\nclaim = \"STC n\"\nfor = \"1 to N\"\nkind = \"mlp\"\nlayer = \"last\"",
        "[[shared]]\nclaims = [\"SC n-1\", \"SV n-1\", \"STC n\"]\nfor = \"1 to N\"",
        "[[order]]\nfirst = \"SA n\"\nthen = \"SA n-1\"\nfor = \"1 to N-1\"",
        "[[order]]\nfirst = \"=\"\nthen = \"SA 2\"",
        "[[intervention]]\nclaims = [\"A0.SA P11L0H0 P11L0H1\", \"A2.STC P9L1M0\"]",
        "[[feeds]]\nfrom = \"SA n\"\nto = \"A(n)\"\nfor = \"0 to N-1\"",
        "[[feeds]]\nfrom = \"SC n-1\"\nto = \"STC n\"\nfor = \"1 to N\"",
    ] {
        let (head, keys) = clause.split_once('\n').unwrap();
        let tested = tested(&BENCH.known, &format!("{head}\nsays = \"so\"\n{keys}\n"));
        assert!(tested.holds && only(&tested).met, "{:#?}", tested.clauses);
        assert!(!tested.circuit.is_empty());
    }
}

#[test]
fn what_is_false_of_the_handwritten_network_is_not() {
    for (clause, note) in [
        (
            "[[exists]]\nclaim = \"SA n\"\nfor = \"0 to N-1\"\nat = \"<= sign\"",
            "no A0.SA claim holds and matches; nearest: P11L0H0 A0.SA (supported)",
        ),
        ("[[exists]]\nclaim = \"MD 0\"", "no claim of task MD"),
        (
            "[[exists]]\nclaim = \"SA 3\"",
            "no claim of A3.SA; nearest: P9L0H0 A2.SA (supported)",
        ),
        (
            "[[exists]]\nclaim = \"SA 7\"",
            "the model has no digit for SA 7",
        ),
        (
            "[[order]]\nfirst = \"SA n-1\"\nthen = \"SA n\"\nfor = \"1 to N-1\"",
            "position 11 is not before 10",
        ),
        (
            "[[shared]]\nclaims = [\"SA 1\", \"SC 1\"]",
            "each holds, but for different nodes",
        ),
        (
            "[[intervention]]\nclaims = [\"A0.SA P11L0H0\"]",
            "A0.SA P11L0H0: interchange accuracy",
        ),
        (
            "[[intervention]]\nclaims = [\"A1.MD P10L0H0\"]",
            "A1.MD P10L0H0: not testable on this model",
        ),
        (
            "[[feeds]]\nfrom = \"SA 1\"\nto = \"A(2)\"",
            "no A1.SA claim that holds has a path there",
        ),
    ] {
        let (head, keys) = clause.split_once('\n').unwrap();
        let tested = tested(&BENCH.known, &format!("{head}\nsays = \"so\"\n{keys}\n"));
        let clause = only(&tested);
        assert!(!tested.holds && !clause.met, "{clause:#?}");
        let unmet = clause.cases.iter().find(|case| !case.met).unwrap();
        assert!(unmet.note.starts_with(note), "{}", unmet.note);
    }
}

#[test]
fn a_search_finds_what_nobody_claims_and_nothing_else() {
    let nothing = KnownClaims::default();
    let clause = "[[exists]]\nsays = \"so\"\nclaim = \"STC n\"\nfor = \"1 to N\"\nkind = \"mlp\"\nat = \"== predicts(n)\"\n";
    assert!(!tested(&nothing, clause).holds);
    let found = tested(&nothing, &format!("{clause}search = true\n"));
    assert!(found.holds, "{:#?}", found.clauses);
    // Both MLPs at each of the three positions, and no other node.
    let names: Vec<String> = found.circuit.iter().map(NodeName::to_string).collect();
    assert_eq!(
        names,
        ["P8L0M0", "P8L1M0", "P9L0M0", "P9L1M0", "P10L0M0", "P10L1M0"]
    );
    let heads = clause.replace("mlp", "head").replace("STC n", "SA n");
    let heads = heads.replace("1 to N", "3 to 3") + "search = true\n";
    assert!(!tested(&nothing, &heads).holds);

    // What comes nearest is named first, not what stands first: each head fetches one operand.
    let heads = heads
        .replace("3 to 3", "0 to 0")
        .replace("== predicts(n)", ">= op");
    let unfound = tested(&nothing, &heads);
    let note = &only(&unfound).cases[0].note;
    assert!(
        !unfound.holds && note.contains(" tried; nearest: A0.SA P11L0H"),
        "{note}"
    );
}

#[test]
fn an_optional_clause_or_one_that_does_not_apply_fails_nothing() {
    let optional = "[[exists]]\nsays = \"so\"\nclaim = \"MD 0\"\noptional = true\n";
    let found = tested(&BENCH.known, optional);
    assert!(found.holds && !only(&found).met);
    let elsewhere = "[[exists]]\nsays = \"so\"\nclaim = \"MD 0\"\ndoes = [\"sub\"]\n";
    let found = tested(&BENCH.known, elsewhere);
    assert!(found.holds && !only(&found).applies && only(&found).cases.is_empty());
}

#[test]
fn a_refuted_claim_meets_no_clause() {
    let mut known = BENCH.known.clone();
    for claim in &mut known.claims {
        claim.verdict = Some(VerdictKind::Refuted);
    }
    let clause = "[[exists]]\nsays = \"so\"\nclaim = \"SA 1\"\n";
    assert!(!tested(&known, clause).holds);
}

// Circuits.

const SCORING: Scoring = Scoring {
    random_sets: 4,
    alpha: 0.01,
    seed: 1,
};

fn score(bench: &Workbench, keep: &NodeSet) -> Vec<CircuitScore> {
    bench.score(keep, SCORING, &mut |_, _| {}).unwrap()
}

fn node(name: &str) -> Node {
    let name: NodeName = name.parse().unwrap();
    name.resolve(&BENCH.engine.shape()).unwrap()
}

/// The nodes of true claims, and the MLP that nothing is claimed of: no carry comes into digit 0.
fn true_circuit() -> NodeSet {
    let claims = BENCH.known.claims.iter();
    let mut nodes: NodeSet = claims.flat_map(|claim| claim.nodes.clone()).collect();
    nodes.insert(node("P11L1M0"));
    nodes
}

#[test]
fn the_true_circuit_suffices_and_random_ones_do_not() {
    let bench = Workbench::new(&BENCH.engine, &BENCH.baseline, 100).unwrap();
    let scores = score(&bench, &true_circuit());
    assert_eq!(scores.len(), 2);
    for found in scores {
        assert_eq!(found.right.hits, found.right.trials, "{found:?}");
        assert!(found.wrong.is_empty());
        assert_eq!(found.random.trials, 4 * found.right.trials);
        assert!(found.best_random.share() < 0.2, "{found:?}");
    }
}

#[test]
fn a_circuit_without_a_needed_node_fails_at_that_nodes_digit_alone() {
    let bench = Workbench::new(&BENCH.engine, &BENCH.baseline, 100).unwrap();
    let mut circuit = true_circuit();
    circuit.remove(&node("P10L0H0"));
    for found in score(&bench, &circuit) {
        assert!(found.right.share() < 0.5, "{found:?}");
        let wrong: Vec<String> = found.wrong.keys().map(|token| token.to_string()).collect();
        assert_eq!(wrong, ["A1"]);
    }
}

#[test]
fn all_nodes_together_are_the_network_and_none_is_not() {
    let bench = Workbench::new(&BENCH.engine, &BENCH.baseline, 64).unwrap();
    for found in score(&bench, bench.nodes()) {
        assert_eq!(found.right.hits, found.right.trials);
    }
    for found in score(&bench, &NodeSet::new()) {
        assert!(found.right.share() < 0.1, "{found:?}");
    }
}

#[test]
fn useful_nodes_are_those_of_the_true_circuit_that_no_other_stands_in_for() {
    let bench = Workbench::new(&BENCH.engine, &BENCH.baseline, 200).unwrap();
    let useful = bench.useful().unwrap();
    let circuit = true_circuit();
    assert!(useful.is_subset(&circuit), "{useful:?}");
    let spared: Vec<String> = circuit.difference(&useful).map(Node::to_string).collect();
    assert_eq!(spared, ["P10L0H2", "P10L0H3", "P10L0H4"]);
}

#[test]
fn a_redundant_node_is_not_missed_and_a_needed_one_is() {
    let bench = Workbench::new(&BENCH.engine, &BENCH.baseline, 64).unwrap();
    let lost = minimality(&bench, &true_circuit(), &mut |_, _| {}).unwrap();
    let of = |name: &str| {
        lost.iter()
            .find(|m| m.node == node(name).name())
            .unwrap()
            .loss
    };
    for redundant in ["P10L0H2", "P10L0H3", "P10L0H4"] {
        assert_eq!(of(redundant), 0.0, "{redundant}");
    }
    for needed in ["P10L0H0", "P9L1M0", "P11L0H1", "P8L0H2"] {
        assert!(of(needed) > 0.05, "{needed}: {}", of(needed));
    }
    assert!(lost.windows(2).all(|pair| pair[0].loss >= pair[1].loss));
}

#[test]
fn growth_puts_back_what_was_taken_out_and_pruning_takes_out_what_is_idle() {
    let bench = Workbench::new(&BENCH.engine, &BENCH.baseline, 64).unwrap();
    let mut circuit = true_circuit();
    let taken = [node("P10L0H0"), node("P9L0H0")];
    for node in &taken {
        circuit.remove(node);
    }
    let added = grow(&bench, &circuit, 0.99, 4, 1, &mut |_| {}).unwrap();
    let mut names: Vec<NodeName> = added.iter().map(|step| step.node).collect();
    names.sort();
    assert_eq!(names, [taken[1].name(), taken[0].name()]);
    let last = added.last().unwrap();
    assert_eq!(last.right.share(), 1.0);
    assert!(last.random.share() < 0.5, "{last:?}");

    let mut padded = true_circuit();
    let idle = [node("P8L1H3"), node("P9L1H0"), node("P6L0H4")];
    padded.extend(idle);
    let pruned = prune(&bench, &padded, 1.0, &mut |_, _| {})
        .unwrap()
        .unwrap();
    assert_eq!(pruned.right.share(), 1.0);
    assert!(idle.iter().all(|node| !pruned.nodes.contains(&node.name())));
    assert!(pruned.nodes.contains(&taken[0].name()));

    // What does not suffice has nothing to spare.
    let short = prune(&bench, &circuit, 1.0, &mut |_, _| {}).unwrap();
    assert_eq!(short, None);
}

// The bundled models.

/// A shipped circuit on the model it is about: the share right of each class by mean ablation.
fn shares(model: &str, hypothesis: &str) -> Vec<f64> {
    let folder = ModelFolder::open(&root().join("models").join(model)).unwrap();
    let engine = Engine::new(&folder.weights);
    let path = root().join("hypotheses").join(hypothesis);
    let text = std::fs::read_to_string(&path).unwrap();
    let hypothesis = Hypothesis::read(hypothesis, &text).unwrap();
    hypothesis
        .check_model(&folder.name, folder.operations(), &engine.shape())
        .unwrap();
    // Another seed than the one the nodes were found with.
    let baseline = Baseline::measure(&engine, folder.operations(), 0.01, 11).unwrap();
    let bench = Workbench::new(&engine, &baseline, 100).unwrap();
    let kept = hypothesis.keep.iter();
    let keep: NodeSet = kept
        .flat_map(|keep| keep.nodes(&engine.shape()).unwrap())
        .collect();
    assert!(keep.len() < bench.nodes().len() / 2 + 30, "{}", keep.len());
    let scoring = Scoring {
        random_sets: 2,
        ..SCORING
    };
    let scores = bench.score(&keep, scoring, &mut |_, _| {}).unwrap();
    scores
        .iter()
        .filter(|found| found.ablation.name() == "mean")
        .inspect(|found| assert!(found.best_random.share() < 0.1, "{found:?}"))
        .map(|found| found.right.share())
        .collect()
}

/// What is stored of every bundled model's circuits.
fn stored(model: &str) -> CircuitEvidence {
    let path = root().join("reports").join(model).join("circuit.json");
    let json = std::fs::read(path).unwrap();
    let evidence = CircuitEvidence::from_json(&json).unwrap();
    assert!(evidence.to_json().as_bytes() == json, "{model}");
    let markdown = root().join("reports").join(model).join("circuit.md");
    assert!(circuit_markdown(&evidence) == std::fs::read_to_string(markdown).unwrap());
    evidence
}

#[test]
fn on_each_bundled_model_our_own_hypothesis_scores_better_than_the_published_one() {
    for (model, published, own) in [
        (
            "w126_add_d5_l2_h3_t15K_s372001",
            "hypotheses/addition.toml",
            "hypotheses/own_addition.toml",
        ),
        (
            "w126_sub_d5_l2_h3_t30K_s372001",
            "hypotheses/subtraction.toml",
            "hypotheses/own_subtraction.toml",
        ),
        (
            "w126_mix_d5_l3_h4_t40K_s372001",
            "hypotheses/mixed.toml",
            "hypotheses/own_mixed.toml",
        ),
    ] {
        let evidence = stored(model);
        let of = |from: &str| -> &Circuit {
            let found = evidence.circuits.iter().find(|c| c.from == from);
            found.unwrap_or_else(|| panic!("{model}: no circuit from {from}"))
        };
        let (published, own) = (of(published), of(own));
        assert!(own.tested.as_ref().unwrap().holds, "{model}");
        assert!(!published.tested.as_ref().unwrap().holds, "{model}");
        assert!(own.covered.len() > published.covered.len(), "{model}");
        for (own, published) in own.scores.iter().zip(&published.scores) {
            assert_eq!(
                (own.class, own.ablation),
                (published.class, published.ablation)
            );
            assert!(own.right.lower > published.right.upper, "{model}: {own:?}");
            assert!(
                own.best_random.share() < own.right.lower,
                "{model}: {own:?}"
            );
        }
    }
}

#[test]
fn what_are_no_circuits_of_this_form_is_refused() {
    let error = |json: &str| CircuitEvidence::from_json(json.as_bytes()).unwrap_err();
    assert!(matches!(error("[]"), CircuitError::Malformed(_)));
    assert_eq!(
        error(r#"{"schema": "circuitcheck/circuit/0"}"#).to_string(),
        "the circuits have the format \"circuitcheck/circuit/0\"; this version reads \"circuitcheck/circuit/1\""
    );
}

#[test]
fn our_own_circuits_answer_nearly_all_questions_of_the_bundled_models() {
    for (model, hypothesis) in [
        ("w126_add_d5_l2_h3_t15K_s372001", "own_addition.toml"),
        ("w126_sub_d5_l2_h3_t30K_s372001", "own_subtraction.toml"),
        ("w126_mix_d5_l3_h4_t40K_s372001", "own_mixed.toml"),
    ] {
        for share in shares(model, hypothesis) {
            assert!(share >= 0.9, "{model}: {share}");
        }
    }
}
