//! What must hold of each reader, whatever bytes it is handed. The fuzz targets and the test
//! `tests/readers.rs` put their inputs to these.

use circuitcheck::analysis::hypothesis::Hypothesis;
use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::claims::{Claim, read_tagged_nodes, write_tagged_nodes};
use circuitcheck::inputs::model::{Operations, Weights, read_pth};

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
