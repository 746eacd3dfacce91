//! What must hold of each reader, whatever bytes it is handed. The fuzz targets and the test
//! `tests/readers.rs` put their inputs to these.

use std::path::Path;
use std::sync::LazyLock;

use circuitcheck::analysis::accuracy::{AccuracyTally, MeasuredAccuracy, Questions, Saved, Work};
use circuitcheck::analysis::circuit::CircuitEvidence;
use circuitcheck::analysis::graph::{GraphEvidence, dot, html, mermaid, svg};
use circuitcheck::analysis::hypothesis::Hypothesis;
use circuitcheck::analysis::property::evidence::PropertyEvidence;
use circuitcheck::analysis::property::{Kept, read};
use circuitcheck::batch::shards::{Claims, Merged, PlannedModel, ShardPlan, ShardResult};
use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::claims::{Claim, read_tagged_nodes, write_tagged_nodes};
use circuitcheck::inputs::model::{
    ModelFolder, Operations, RawFile, TrainingRecord, Weights, read_pth, read_safetensors,
};
use circuitcheck::network::engine::Decode;
use circuitcheck::report::{
    Attention, ClaimView, circuit_markdown, claim_rows, explanation, property_markdown,
    summary_line,
};
use circuitcheck::verify::evidence::Evidence;

use crate::torch_file;

/// A shape to resolve names against. Its numbers all differ, so that no mix-up goes unseen.
const SHAPE: Shape = Shape {
    n_digits: 5,
    n_layers: 2,
    n_heads: 3,
    d_model: 4,
    d_head: 7,
    d_mlp: 16,
};

/// A `.pth` file is refused with a message, or gives no more elements than it has bytes.
pub fn pth(bytes: &[u8]) {
    match read_pth(bytes) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(arrays) => {
            let elements: usize = arrays.values().map(|array| array.data().len()).sum();
            assert!(elements <= bytes.len(), "{elements} from {}", bytes.len());
            if let Err(error) = Weights::from_arrays(arrays) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// As [`pth`], for an archive that is sound: the input is the pickle's length (two bytes, little
/// endian), the pickle, and the one storage, `0`. Changed bytes of a whole archive would seldom get
/// past its checksums.
pub fn pickle(input: &[u8]) {
    let Some((length, rest)) = input.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (pickle, storage) = rest.split_at(length);
    pth(&torch_file::pth(
        pickle,
        &[("model/data/0".to_owned(), storage.to_vec())],
    ));
}

/// A claims file is refused with a message, or is read again as it was written.
pub fn claims(bytes: &[u8]) {
    let nodes = match read_tagged_nodes("fuzzed", bytes) {
        Err(error) => return assert!(error.to_string().starts_with("fuzzed: ")),
        Ok(nodes) => nodes,
    };
    let written = write_tagged_nodes(&nodes);
    let again = read_tagged_nodes("written", written.as_bytes()).expect("what was written is read");
    assert_eq!(nodes, again);
    for node in &nodes {
        let _ = node.node.resolve(&SHAPE);
        for tag in &node.tags {
            assert_eq!(tag.to_string().parse(), Ok(tag.clone()));
            let claim = Claim::parse(node.node, &tag.minor);
            assert!(claim.to_string().ends_with(&tag.minor));
        }
    }
}

/// A hypothesis is refused with a message, or can be asked about a model at every digit.
pub fn hypothesis(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let hypothesis = match Hypothesis::read("fuzzed", text) {
        Err(error) => return assert!(error.to_string().starts_with("fuzzed: ")),
        Ok(hypothesis) => hypothesis,
    };
    let _ = hypothesis.check_model("w4_mix_d5_l2_h3_t1K_s1", Operations::Mix, &SHAPE);
    for clause in &hypothesis.exists {
        for n in clause
            .digits
            .iter()
            .flat_map(|digits| digits.values(&SHAPE))
        {
            let _ = clause.claim.variable(n, &SHAPE);
            if let Some(at) = &clause.at {
                let _ = (0..SHAPE.n_ctx())
                    .filter(|&p| at.holds(p, n, &SHAPE))
                    .count();
            }
        }
    }
    for clause in &hypothesis.feeds {
        for n in clause
            .digits
            .iter()
            .flat_map(|digits| digits.values(&SHAPE))
        {
            let _ = (clause.from.variable(n, &SHAPE), clause.to.token(n, &SHAPE));
        }
    }
    for keep in &hypothesis.keep {
        let _ = keep.nodes(&SHAPE);
    }
}

/// A model that resume files, plans and shards are about.
pub static MODEL: LazyLock<ModelFolder> = LazyLock::new(|| {
    let claims = r#"[{"position":17,"layer":0,"is_head":true,"num":1,"tags":["Algo:A0.SA"]},
        {"position":16,"layer":1,"is_head":false,"num":0,"tags":["Algo:A1.STC"]}]"#;
    ModelFolder::from_weights(
        "w4_mix_d5_l2_h3_t1K_s1",
        Weights::random(SHAPE, 1),
        Operations::Mix,
        claims.into(),
    )
});

/// The questions that they ask of it.
pub static QUESTIONS: LazyLock<Questions> =
    LazyLock::new(|| Questions::uniform(&MODEL, 2500, 1).expect("the model was trained"));

/// What they count.
pub static WORK: LazyLock<Work> =
    LazyLock::new(|| Work::new(&MODEL, &QUESTIONS, Decode::Forced, 20));

/// A plan of two shards.
pub static PLAN: LazyLock<ShardPlan> = LazyLock::new(|| {
    let (claims, _) = Claims::of(&MODEL).expect("the claims are read");
    let planned = PlannedModel::new("model".into(), &MODEL, &QUESTIONS, &claims);
    ShardPlan::new(vec![planned], &[1], Decode::Forced, 20, 2).expect("there are three blocks")
});

/// What any error says.
fn refused(error: impl std::fmt::Display) {
    assert!(!error.to_string().is_empty());
}

/// Counts that were read can be stated.
fn stated(tally: &AccuracyTally) {
    let measured = MeasuredAccuracy::new(MODEL.identity(), Decode::Forced, &QUESTIONS, tally);
    assert!(measured.all.right <= measured.all.questions);
}

/// A safetensors file is refused with a message, or gives no more elements than it has bytes.
pub fn safetensors(bytes: &[u8]) {
    match read_safetensors(bytes) {
        Err(error) => refused(error),
        Ok(arrays) => {
            let elements: usize = arrays.values().map(|array| array.data().len()).sum();
            assert!(elements <= bytes.len(), "{elements} from {}", bytes.len());
            if let Err(error) = Weights::from_arrays(arrays) {
                refused(error);
            }
        }
    }
}

/// A training record is refused with a message, or read.
pub fn training(bytes: &[u8]) {
    match TrainingRecord::from_json(bytes) {
        Err(error) => refused(error),
        Ok(record) => drop(record.operations()),
    }
}

/// Evidence is refused with a message, or what is written of it is read again and can be shown.
pub fn evidence(bytes: &[u8]) {
    let evidence = match Evidence::from_json(bytes) {
        Err(error) => return refused(error),
        Ok(evidence) => evidence,
    };
    // Not the same text again: of numbers as large as no bound is, six decimals are rounded apart.
    let again = Evidence::from_json(evidence.to_json().as_bytes());
    assert!(again.is_ok_and(|again| again.claims.len() == evidence.claims.len()));
    let _ = (summary_line(&evidence), claim_rows(&evidence));
    for claim in ClaimView::all(&evidence, "model") {
        explanation(&claim, &evidence, None);
    }
}

/// Stored properties are refused with a message, or can be shown.
pub fn properties(bytes: &[u8]) {
    match PropertyEvidence::from_json(bytes) {
        Err(error) => refused(error),
        Ok(evidence) => drop(property_markdown(&evidence, "model")),
    }
}

/// A stored graph is refused with a message, or can be drawn.
pub fn graph(bytes: &[u8]) {
    match GraphEvidence::from_json(bytes) {
        Err(error) => refused(error),
        Ok(GraphEvidence { graph, .. }) => {
            let _ = (
                dot(&graph),
                mermaid(&graph),
                svg(&graph),
                html(&graph, "title"),
            );
        }
    }
}

/// Stored circuits are refused with a message, or can be shown.
pub fn circuit(bytes: &[u8]) {
    match CircuitEvidence::from_json(bytes) {
        Err(error) => refused(error),
        Ok(evidence) => drop(circuit_markdown(&evidence)),
    }
}

/// Stored attention is refused with a message, or read.
pub fn attention(bytes: &[u8]) {
    if let Err(error) = Attention::from_json(bytes) {
        refused(error);
    }
}

/// A resume file is refused with a message, or is a part of the work whose counts can be stated.
pub fn resume(bytes: &[u8]) {
    match Saved::from_json("fuzzed".into(), bytes, &WORK, &QUESTIONS) {
        Err(error) => assert!(error.to_string().starts_with("fuzzed: ")),
        Ok(saved) => {
            assert!(saved.done() <= QUESTIONS.len());
            stated(saved.tally());
        }
    }
}

/// A plan is refused with a message, or each of its shards can be worked at.
pub fn plan(bytes: &[u8]) {
    match ShardPlan::read("fuzzed", bytes) {
        Err(error) => assert!(error.to_string().starts_with("fuzzed: ")),
        Ok(plan) => {
            let _ = (plan.digest(), plan.decode());
            for shard in 0..plan.shards() as u64 {
                plan.shard(shard).expect("a shard that is there");
            }
            for model in plan.models() {
                let _ = (model.blocks(), model.questions(&MODEL));
            }
        }
    }
}

/// The result of a shard is refused with a message, or can be merged and its counts stated.
pub fn shard(bytes: &[u8]) {
    static DIGEST: LazyLock<String> = LazyLock::new(|| PLAN.digest());
    let result = match ShardResult::read(&PLAN, &DIGEST, 0, bytes) {
        Err(error) => return refused(error),
        Ok(result) => result,
    };
    let mut merged = vec![Merged::default(); PLAN.models().len()];
    result.add_to(&mut merged, PLAN.keep());
    for model in &merged {
        stated(&model.tally);
        for claim in &model.claims {
            let _ = (
                claim.counterfactual.bounds(0.01),
                claim.control_pairs.bounds(0.01),
            );
        }
    }
}

/// A user's property is refused with its place, or read.
pub fn property(bytes: &[u8]) {
    let file = RawFile::made(Path::new("fuzzed"), bytes.to_vec());
    match read(&file, SHAPE.n_digits) {
        Err(error) => assert!(error.to_string().starts_with("fuzzed:")),
        Ok(property) => assert!(!property.clauses.is_empty()),
    }
}

/// Kept cases are refused with their place, or read again as they are written.
pub fn kept(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Kept::parse("fuzzed", text) {
        Err(error) => assert!(error.to_string().starts_with("fuzzed:")),
        Ok(kept) => assert_eq!(
            Kept::parse("again", &kept.to_string()).unwrap().to_string(),
            kept.to_string()
        ),
    }
}
