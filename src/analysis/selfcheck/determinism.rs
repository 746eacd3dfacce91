//! Results depend only on the input and the seed, not on threads, block size or the order of
//! claims.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use rand::seq::SliceRandom;

use super::{Check, Figure};
use crate::experiment::stream;
use crate::inputs::claims::{TaggedNode, read_tagged_nodes, write_tagged_nodes};
use crate::inputs::model::{ModelFolder, RawFile};
use crate::verify::evidence::Evidence;
use crate::verify::{Options, VerifyError, verify};

/// Numbers of questions run together.
const BLOCKS: [usize; 3] = [1, 7, 512];

const THREADS: [usize; 2] = [1, 2];

/// Verifies some claims of a model repeatedly, each time varying something that must not matter. Up
/// to `nodes` claimed nodes are chosen by the seed; blocks of one question are the slowest.
///
/// # Errors
/// [`VerifyError`] where the model cannot be verified.
pub fn determinism(
    folder: &ModelFolder,
    nodes: usize,
    options: &Options,
) -> Result<Check, VerifyError> {
    let name = format!("determinism: {}", folder.name);
    let what = "evidence does not depend on threads, block size or the order of claims";
    let mut figures = Vec::new();
    if let Some(claims) = some_claims(folder, nodes, options.rules.seed)? {
        let file = file_of(folder, &claims);
        let first = verify(folder, Some(&file), options, &mut |_| {})?;
        figures.push(Figure::count("claims", first.claims.len()));
        for threads in THREADS {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a pool of a thread or two can be started");
            let again = pool.install(|| verify(folder, Some(&file), options, &mut |_| {}))?;
            let what = format!("differences with {threads} threads");
            figures.push(Figure::at_most(what, differences(&first, &again), 0));
        }
        for block in BLOCKS {
            let options = Options {
                block: NonZeroUsize::new(block),
                ..options.clone()
            };
            let again = verify(folder, Some(&file), &options, &mut |_| {})?;
            let what = format!("differences with blocks of {block}");
            figures.push(Figure::at_most(what, differences(&first, &again), 0));
        }
        let mut shuffled = claims;
        let mut rng = stream(options.rules.seed, "selfcheck/order");
        shuffled.shuffle(&mut rng);
        shuffled
            .iter_mut()
            .for_each(|node| node.tags.shuffle(&mut rng));
        let mut again = verify(
            folder,
            Some(&file_of(folder, &shuffled)),
            options,
            &mut |_| {},
        )?;
        // Reordered claims make a different file, so its digest differs.
        again
            .inputs
            .features_sha256
            .clone_from(&first.inputs.features_sha256);
        let place: BTreeMap<&str, usize> = (0..)
            .zip(&first.claims)
            .map(|(place, claim)| (claim.claim.as_str(), place))
            .collect();
        again
            .claims
            .sort_by_key(|claim| place.get(claim.claim.as_str()).copied());
        figures.push(Figure::at_most(
            "differences with the claims in another order",
            differences(&first, &again),
            0,
        ));
    }
    Ok(Check::new(name, what, figures))
}

/// Some of the nodes tagged in a model's file, in file order.
fn some_claims(
    folder: &ModelFolder,
    most: usize,
    seed: u64,
) -> Result<Option<Vec<TaggedNode>>, VerifyError> {
    let Some(file) = &folder.features else {
        return Ok(None);
    };
    let tagged = read_tagged_nodes(&file.path.display().to_string(), &file.bytes)?;
    let mut claiming: Vec<(usize, TaggedNode)> = tagged
        .into_iter()
        .filter(|node| node.tags.iter().any(|tag| tag.major == "Algo"))
        .enumerate()
        .collect();
    claiming.shuffle(&mut stream(seed, "selfcheck/determinism"));
    claiming.truncate(most);
    claiming.sort_by_key(|&(place, _)| place);
    let nodes: Vec<TaggedNode> = claiming.into_iter().map(|(_, node)| node).collect();
    Ok((!nodes.is_empty()).then_some(nodes))
}

fn file_of(folder: &ModelFolder, nodes: &[TaggedNode]) -> RawFile {
    let path = folder
        .features
        .as_ref()
        .map(|file| file.path.clone())
        .unwrap_or_default();
    RawFile::made(&path, write_tagged_nodes(nodes).into_bytes())
}

/// Number of claims that differ, plus one if anything else does.
fn differences(first: &Evidence, second: &Evidence) -> usize {
    let json = |evidence: &Evidence| serde_json::to_string(evidence).expect("keys are strings");
    if json(first) == json(second) {
        return 0;
    }
    let claims = first.claims.iter().zip(&second.claims);
    let different = claims
        .filter(|(a, b)| {
            let json = |claim| serde_json::to_string(claim).expect("keys are strings");
            json(a) != json(b)
        })
        .count();
    let longer = first.claims.len().abs_diff(second.claims.len());
    (different + longer).max(1)
}
