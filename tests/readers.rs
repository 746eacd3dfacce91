//! The three readers of untrusted files, on inputs that fuzzing found worth keeping, on changed copies
//! of those, and on the most expensive ones that could be thought of. `fuzz/README.md` says how to fuzz.

mod counting;
#[path = "../fuzz/laws.rs"]
mod laws;
#[allow(dead_code)]
mod torch_file;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use circuitcheck::analysis::hypothesis::{Hypothesis, MAX_HYPOTHESIS_BYTES};
use circuitcheck::inputs::claims::{MAX_CLAIMS_BYTES, read_tagged_nodes};
use counting::peak_memory;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
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
        match rng.random_range(0..3) {
            0 => input[at..until].fill(rng.random()),
            1 => drop(input.drain(at..until)),
            _ => drop(input.splice(at..until, piece.iter().copied())),
        }
    }
    input
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

/// What the fuzzer does with an eye on coverage, without one: for machines that have no nightly
/// toolchain.
#[test]
fn a_million_changed_copies_are_refused_or_read() {
    const MILLION: usize = 1_000_000;
    let readers: [(&str, Law); 4] = [
        ("pth", laws::pth),
        ("pickle", laws::pickle),
        ("claims", laws::claims),
        ("hypothesis", laws::hypothesis),
    ];
    for (reader, law) in readers {
        holds_for_changed(&corpus(reader), law, MILLION);
    }
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
            read.unwrap();
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
