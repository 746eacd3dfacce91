//! The readers of untrusted files, on inputs that fuzzing found worth keeping, on changed copies
//! of those, and on the most expensive ones that could be thought of. `fuzz/README.md` says how to fuzz.

mod counting;
#[path = "../fuzz/laws.rs"]
mod laws;
#[allow(dead_code)]
mod torch_file;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use circuitcheck::analysis::accuracy::Saved;
use circuitcheck::analysis::circuit::CircuitEvidence;
use circuitcheck::analysis::graph::GraphEvidence;
use circuitcheck::analysis::hypothesis::{Hypothesis, MAX_HYPOTHESIS_BYTES};
use circuitcheck::analysis::property::evidence::PropertyEvidence;
use circuitcheck::batch::shards::{Claims, Job, ShardResult};
use circuitcheck::inputs::claims::{ClaimsError, MAX_CLAIMS_BYTES, read_tagged_nodes};
use circuitcheck::network::engine::{Decode, Engine};
use circuitcheck::report::Attention;
use circuitcheck::verify::evidence::Evidence;
use counting::peak_memory;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use zip::ZipArchive;

/// Changed copies that each reader is handed: a second's worth. Fuzzing hands it millions.
const CHANGED: usize = 4000;

/// Most memory a reader may take.
const MEMORY_LIMIT: usize = 1 << 30;

/// What must hold of an input.
type Law = fn(&[u8]);

/// The inputs kept for a reader.
fn corpus(reader: &str) -> Vec<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus.zip");
    let mut archive = ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut inputs = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        if Path::new(&*file.name().unwrap()).starts_with(reader) {
            let mut input = Vec::new();
            file.read_to_end(&mut input).unwrap();
            inputs.push(input);
        }
    }
    inputs.sort();
    assert!(inputs.len() > 2, "{reader}: {}", inputs.len());
    inputs
}

/// A copy with a few bytes overwritten, left out, or taken from another input.
fn changed(inputs: &[Vec<u8>], rng: &mut impl Rng) -> Vec<u8> {
    let mut input = inputs[rng.random_range(0..inputs.len())].clone();
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..=input.len());
        let until = (at + rng.random_range(0..9)).min(input.len());
        let other = &inputs[rng.random_range(0..inputs.len())];
        let from = rng.random_range(0..=other.len());
        let piece = &other[from..(from + rng.random_range(0..20)).min(other.len())];
        match rng.random_range(0..4) {
            3 => put_a_number(&mut input, at, rng),
            0 => input[at..until].fill(rng.random()),
            1 => drop(input.drain(at..until)),
            _ => drop(input.splice(at..until, piece.iter().copied())),
        }
    }
    input
}

/// Puts a number at the edge of what is counted with in the place of the next one.
fn put_a_number(input: &mut Vec<u8>, from: usize, rng: &mut impl Rng) {
    const EDGES: [&str; 6] = [
        "18446744073709551615",
        "9223372036854775808",
        "4294967296",
        "-1",
        "0",
        "1e308",
    ];
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let Some(start) = input[from..].iter().position(is_digit) else {
        return;
    };
    let start = from + start;
    let length = input[start..]
        .iter()
        .take_while(|byte| is_digit(byte))
        .count();
    let edge = EDGES[rng.random_range(0..EDGES.len())];
    input.splice(start..start + length, edge.bytes());
}

fn holds_for_corpus(reader: &str, law: Law) {
    let inputs = corpus(reader);
    inputs.iter().for_each(|input| law(input));
    holds_for_changed(&inputs, law, CHANGED);
}

fn holds_for_changed(inputs: &[Vec<u8>], law: Law, count: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    for _ in 0..count {
        let input = changed(inputs, &mut rng);
        let (_, peak) = peak_memory(|| law(&input));
        assert!(peak < MEMORY_LIMIT, "{peak} bytes for {input:?}");
    }
}

#[test]
fn every_archive_is_refused_or_read() {
    holds_for_corpus("pth", laws::pth);
}

#[test]
fn every_pickle_is_refused_or_read() {
    holds_for_corpus("pickle", laws::pickle);
}

#[test]
fn every_claims_file_is_refused_or_read() {
    holds_for_corpus("claims", laws::claims);
}

#[test]
fn every_hypothesis_is_refused_or_read() {
    holds_for_corpus("hypothesis", laws::hypothesis);
}

#[test]
fn every_other_file_is_refused_or_read() {
    let others: [(&str, Law); 12] = [
        ("safetensors", laws::safetensors),
        ("training", laws::training),
        ("evidence", laws::evidence),
        ("properties", laws::properties),
        ("graph", laws::graph),
        ("circuit", laws::circuit),
        ("attention", laws::attention),
        ("resume", laws::resume),
        ("plan", laws::plan),
        ("shard", laws::shard),
        ("property", laws::property),
        ("kept", laws::kept),
    ];
    for (reader, law) in others {
        holds_for_corpus(reader, law);
    }
}

/// A file of the reports in this repository, with no more than two entries in each list of objects.
fn stored(file: &str) -> Vec<u8> {
    fn shorten(value: &mut Value) {
        match value {
            Value::Array(items) => {
                if items.iter().all(Value::is_object) {
                    items.truncate(2);
                }
                items.iter_mut().for_each(shorten);
            }
            Value::Object(fields) => fields.values_mut().for_each(shorten),
            _ => {}
        }
    }
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/reports/w126_sub_d5_l2_h3_t30K_s372001"
    );
    let mut document =
        serde_json::from_slice(&fs::read(Path::new(folder).join(file)).unwrap()).unwrap();
    // The edges of a graph name its vertices.
    if file != "graph.json" {
        shorten(&mut document);
    }
    document.to_string().into_bytes()
}

#[test]
fn a_fault_put_on_a_question_that_is_not_asked_is_refused() {
    let sound = String::from_utf8(stored("property.json")).unwrap();
    assert!(PropertyEvidence::from_json(sound.as_bytes()).is_ok());
    let wrong = sound.replacen("\"at_fault\":0", "\"at_fault\":9", 1);
    let error = PropertyEvidence::from_json(wrong.as_bytes()).unwrap_err();
    let error = error.to_string();
    assert!(error.ends_with("and question 9 is at fault"), "{error}");
}

/// What counting the first block of the plan gives: the result of a shard, and a resume file.
fn counted() -> (Vec<u8>, Vec<u8>) {
    let engine = Engine::new(&laws::MODEL.weights);
    let (claims, _) = Claims::of(&laws::MODEL).unwrap();
    let job = Job {
        engine: &engine,
        questions: &laws::QUESTIONS,
        claims: &claims,
        decode: Decode::Forced,
        keep: laws::PLAN.keep(),
    };
    let mut result = ShardResult::nothing(&laws::PLAN, 0);
    let done = job.blocks(0, 0..1).unwrap();
    let mut saved = Saved::nothing(laws::WORK.clone());
    saved.add(done.tally.clone());
    result.add(done, laws::PLAN.keep());
    let resume = serde_json::to_vec(&saved).unwrap();
    (result.to_json().into_bytes(), resume)
}

/// What the fuzzer does with an eye on coverage, without one: for machines that have no nightly
/// toolchain.
const MILLION: usize = 1_000_000;

/// A million changed copies of the inputs kept for a reader.
fn million_of_corpus(reader: &str, law: Law) {
    holds_for_changed(&corpus(reader), law, MILLION);
}

/// A million changed copies of these, which are themselves accepted.
fn million(inputs: &[Vec<u8>], law: Law) {
    inputs.iter().for_each(|input| law(input));
    holds_for_changed(inputs, law, MILLION);
}

macro_rules! a_million {
    ($($name:ident: $test:expr;)*) => {
        mod a_million_changed_copies_are_refused_or_read {
            use super::*;

            $(
                #[test]
                fn $name() {
                    $test;
                }
            )*
        }
    };
}

a_million! {
    pth: million_of_corpus("pth", laws::pth);
    pickle: million_of_corpus("pickle", laws::pickle);
    claims: million_of_corpus("claims", laws::claims);
    hypothesis: million_of_corpus("hypothesis", laws::hypothesis);
    safetensors: {
        let header = br#"{"__metadata__":{"a":"b"},"embed.W_E":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        million(&[[&length[..], header, &[0; 8]].concat()], laws::safetensors);
    };
    training: {
        let record = br#"{"Config": {"model_name": "x", "n_layers": 2, "perc_sub": 66}, "TrainingLoss": [1.5, NaN, -Infinity], "FinalLoss": 0.5}"#;
        million(&[record.to_vec()], laws::training);
    };
    evidence: {
        assert!(Evidence::from_json(&stored("evidence.json")).is_ok());
        million(&[stored("evidence.json")], laws::evidence);
    };
    properties: {
        assert!(PropertyEvidence::from_json(&stored("property.json")).is_ok());
        million(&[stored("property.json")], laws::properties);
    };
    graph: {
        assert!(GraphEvidence::from_json(&stored("graph.json")).is_ok());
        million(&[stored("graph.json")], laws::graph);
    };
    circuit: {
        assert!(CircuitEvidence::from_json(&stored("circuit.json")).is_ok());
        million(&[stored("circuit.json")], laws::circuit);
    };
    attention: {
        assert!(Attention::from_json(&stored("attention.json")).is_ok());
        million(&[stored("attention.json")], laws::attention);
    };
    resume: {
        let (_, resume) = counted();
        let read = Saved::from_json("file".into(), &resume, &laws::WORK, &laws::QUESTIONS);
        assert_eq!(read.unwrap().done(), 1000);
        million(&[resume], laws::resume);
    };
    plan: million(&[laws::PLAN.to_json().into_bytes()], laws::plan);
    shard: {
        let (result, _) = counted();
        let read = ShardResult::read(&laws::PLAN, &laws::PLAN.digest(), 0, &result);
        assert!(read.is_ok(), "{read:?}");
        million(&[result], laws::shard);
    };
    property: {
        let own = b"name = \"x\"\nsays = \"y\"\nleft = \"({a}+{b})-{c+1}\"\nrelation = \"at-most\"\nright = \"{b}+12{a}\"\n[digits]\na = \"0-4\"\nb = \"0 0-9x3 5\"\n";
        million(&[own.to_vec()], laws::property);
    };
    kept: million(&[b"# cases\nanswers\t{a}+{b}\ta=00001 b=99999\n".to_vec()], laws::kept);
}

/// `before`, as many of `part` as fit in `length` bytes, `after`.
fn filled(length: usize, before: &str, part: &str, after: &str) -> String {
    let count = (length - before.len() - after.len()) / part.len();
    format!("{before}{}{after}", part.repeat(count))
}

#[test]
fn the_largest_claims_files_take_less_than_the_limit_of_memory() {
    let node = r#"[{"position":1,"layer":0,"is_head":true,"num":0,"tags":["#;
    for (before, part, after) in [
        // Values that are kept though nothing is known of them.
        (node, "", r#"],"x":["#),
        (node, r#""a:b","#, r#""a:b"],"x":["#),
    ] {
        let before = filled(
            MAX_CLAIMS_BYTES / 2,
            before,
            if part.is_empty() { " " } else { part },
            after,
        );
        for value in ["1,", "{},", r#"{"a":1},"#] {
            let file = filled(MAX_CLAIMS_BYTES, &before, value, "1]}]");
            let (read, peak) = peak_memory(|| read_tagged_nodes("large", file.as_bytes()));
            let has_many_tags = matches!(read, Err(ClaimsError::TooManyTags { .. }));
            assert_eq!(has_many_tags, !part.is_empty());
            assert!(read.is_ok() || has_many_tags);
            assert!(peak < MEMORY_LIMIT / 2, "{value}: {peak}");
        }
    }
    let long = " ".repeat(MAX_CLAIMS_BYTES + 1);
    let error = read_tagged_nodes("long", long.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "long: 4194305 bytes, more than the 4194304 that are read of claims"
    );
}

#[test]
fn a_node_listed_again_among_very_many_is_found_at_once() {
    let entry = |position: usize| {
        format!(r#"{{"position":{position},"layer":0,"is_head":true,"num":0,"tags":[]}}"#)
    };
    let nodes: Vec<String> = (0..60_000).map(entry).collect();
    let file = format!("[{},{}]", nodes.join(","), entry(7));
    let error = read_tagged_nodes("many", file.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "many: node P7L0H0 is listed twice, as entries 7 and 60000"
    );
}

#[test]
fn the_largest_hypotheses_take_less_than_the_limit_of_memory() {
    for (before, part, after) in [
        ("name = \"x\"\n", "[[keep]]\nsays = \"y\"\n", ""),
        (
            "name = \"x\"\n[[keep]]\nsays = \"y\"\nnodes = [",
            "\"P1L0H0\",",
            "]",
        ),
        ("name = \"x\"\n[[keep]]\nsays = \"y\"\nz = [", "1,", "]"),
        ("name = \"x\"\n", "#\n", ""),
        ("name = \"x\"\n", "[a.a]\n", ""),
        ("name = \"x\"\n[[keep]]\nsays = \"y\"\nz.z", ".z", "=1"),
        ("name = [", "[", ""),
    ] {
        let file = filled(MAX_HYPOTHESIS_BYTES, before, part, after);
        let (_, peak) = peak_memory(|| Hypothesis::read("large", &file).map_err(|e| e.to_string()));
        assert!(peak < MEMORY_LIMIT / 2, "{part}: {peak}");
    }
    let long = "#".repeat(MAX_HYPOTHESIS_BYTES + 1);
    let error = Hypothesis::read("long", &long).unwrap_err();
    assert_eq!(
        error.to_string(),
        "long: 1048577 bytes, more than the 1048576 that are read"
    );
}
