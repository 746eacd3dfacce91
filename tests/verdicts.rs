//! Claims of the bundled models on which an audit contradicted earlier verdicts, each with the verdict
//! that it has on any seed.

use std::fs;
use std::path::Path;

use circuitcheck::domain::node::NodeName;
use circuitcheck::domain::task::Variable;
use circuitcheck::experiment::{HALF, Rules, SignReading};
use circuitcheck::inputs::claims::{Claim, write_claims};
use circuitcheck::inputs::model::{ModelFolder, RawFile};
use circuitcheck::network::handmade::planted;
use circuitcheck::verify::evidence::{ClaimEvidence, Evidence};
use circuitcheck::verify::{Options, Verdict, VerdictKind, verify};

const SUB: &str = "models/w126_sub_d5_l2_h3_t30K_s372001";
const MIX: &str = "models/w126_mix_d5_l3_h4_t40K_s372001";

fn model(path: &str) -> ModelFolder {
    ModelFolder::open(Path::new(path)).unwrap()
}

fn parsed(claim: &str) -> (NodeName, Variable) {
    let (node, tag) = claim.split_once(' ').unwrap();
    let claim = Claim::parse(node.parse().unwrap(), tag);
    (claim.node, claim.variable.unwrap())
}

/// The evidence of some of a file's claims; of the model's own without a file.
fn tried(path: &str, features: Option<&RawFile>, claims: &[&str], seed: u64) -> Vec<ClaimEvidence> {
    let options = Options {
        rules: Rules {
            seed,
            ..Rules::default()
        },
        claims: claims.iter().map(|claim| parsed(claim)).collect(),
        ..Options::default()
    };
    let evidence = verify(&model(path), features, &options, &mut |_| {}).unwrap();
    assert_eq!(evidence.claims.len(), claims.len());
    evidence.claims
}

fn names(nodes: &[NodeName]) -> Vec<String> {
    nodes.iter().map(NodeName::to_string).collect()
}

fn stored(path: &str) -> Evidence {
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    let path = Path::new("reports").join(name).join("evidence.json");
    Evidence::from_json(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_set_across_layers_is_found_with_every_seed() {
    for seed in 1..=3 {
        for claim in tried(MIX, None, &["P7L0H1 A3.ST", "P13L2H0 A3.SC"], seed) {
            let Verdict::Joint(joint) = &claim.verdict else {
                panic!("seed {seed}: {} is {}", claim.claim, claim.verdict);
            };
            assert!(joint.need >= 0.2, "{}", claim.claim);
            if claim.claim == "P13L2H0 A3.SC" {
                let layers: Vec<usize> = joint.set.iter().map(|node| node.layer).collect();
                assert!(
                    layers.iter().any(|&layer| layer < 2),
                    "{:?}",
                    names(&joint.set)
                );
            }
        }
    }
}

#[test]
fn sets_beyond_the_claimed_heads_of_one_layer_are_found() {
    for (path, claims) in [
        (MIX, &["P8L0H1 A2.ST", "P9L0H1 A1.ST"] as &[&str]),
        (SUB, &["P11L0H2 A3.MT"]),
    ] {
        for claim in tried(path, None, claims, 2) {
            assert_eq!(claim.verdict.kind(), VerdictKind::Joint, "{}", claim.claim);
            assert!(claim.nodes.len() >= 2, "{:?}", names(&claim.nodes));
        }
    }
}

#[test]
fn a_need_close_to_its_limit_is_compared_on_more_pairs() {
    // About 0.216, against a limit of 0.2: open on 16,384 pairs with this seed.
    let claims = tried(MIX, None, &["P12L0H1 A4.ST"], 6);
    let Verdict::Joint(joint) = &claims[0].verdict else {
        panic!("{}", claims[0].verdict);
    };
    assert!((0.2..0.23).contains(&joint.need), "{}", joint.need);
}

#[test]
fn a_claim_of_the_order_is_judged_on_the_sign_whatever_the_digits_do() {
    for (path, claims) in [
        (
            MIX,
            &["P9L0H2 A1.GT", "P10L0H2 A0.GT", "P11L0H1 A4.GT"] as &[&str],
        ),
        (SUB, &["P11L0H0 A4.GT"]),
    ] {
        for claim in tried(path, None, claims, 1) {
            assert_eq!(claim.verdict.kind(), VerdictKind::Joint, "{}", claim.claim);
            let measures = claim.deciding_measures().unwrap();
            let after = measures.after_sign.expect("the sign turns");
            assert!(after.digits_follow_token + after.digits_follow_order <= after.digits);
            let free = claim.trials.as_ref().unwrap().free_order.unwrap();
            assert_eq!(free.turned, free.trials, "{}", claim.claim);
        }
    }
}

#[test]
fn the_digits_after_a_turned_sign_are_said_to_follow_what_they_follow() {
    for (name, reading) in [
        ("internal-order", SignReading::Order),
        ("sign-token", SignReading::Token),
    ] {
        let network = planted().into_iter().find(|planted| planted.name == name);
        let claim = parsed("P5L0H0 A1.GT");
        let folder = network.unwrap().handmade.claiming([&claim]);
        let evidence = verify(&folder, None, &Options::default(), &mut |_| {}).unwrap();
        let claim = &evidence.claims[0];
        assert_eq!(claim.verdict.kind(), VerdictKind::Joint, "{name}");
        let after = claim.deciding_measures().unwrap().after_sign.unwrap();
        assert_eq!(after.reading(), reading, "{name}: {after}");
    }
}

#[test]
fn a_token_that_moves_in_part_is_named_and_refutes_nothing() {
    let mut networks = planted().into_iter();
    let network = networks
        .find(|planted| planted.name == "half-moved")
        .unwrap();
    let claims: Vec<_> = network.in_part.iter().map(|(claim, _)| *claim).collect();
    let folder = network.handmade.claiming(&claims);
    let evidence = verify(&folder, None, &Options::default(), &mut |_| {}).unwrap();
    for (claim, token) in &network.in_part {
        let text = format!("{} {}", claim.0, claim.1);
        let found = evidence.claims.iter().find(|found| found.claim == text);
        let found = found.unwrap();
        assert_eq!(found.verdict.kind(), VerdictKind::Supported, "{text}");
        let rates = &found.trials.as_ref().unwrap().alone.tokens;
        let of_token = rates.iter().filter(|rate| rate.token == *token);
        assert!(
            of_token
                .clone()
                .any(|rate| rate.outcome.name() == "in part"),
            "{text}: {:?}",
            of_token.collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_set_may_hold_in_part() {
    for claim in tried(SUB, None, &["P13L0H0 A4.MD", "P13L0H1 A4.MD"], 1) {
        assert_eq!(claim.verdict.kind(), VerdictKind::JointInPart);
        assert_eq!(names(&claim.nodes), ["P13L0H0", "P13L0H1"]);
    }
}

#[test]
fn the_seed_does_not_choose_the_decoys() {
    let claim = parsed("P13L0M0 A4.ND");
    let file = RawFile::made(
        Path::new("features.json"),
        write_claims([&claim]).into_bytes(),
    );
    for seed in 1..=4 {
        let found = &tried(MIX, Some(&file), &["P13L0M0 A4.ND"], seed)[0];
        assert_eq!(found.verdict.kind(), VerdictKind::Partial, "seed {seed}");
    }
}

#[test]
fn a_move_to_another_value_is_no_effect_of_the_sign() {
    let claim = &tried(MIX, None, &["P17L0H2 SGN"], 1)[0];
    let Verdict::Correlational { attends, effect } = &claim.verdict else {
        panic!("{}", claim.verdict);
    };
    assert!(attends.lower > HALF);
    assert_eq!(effect.unwrap().hits, 0);
}

/// Of all evidence in the repository.
#[test]
fn no_verdict_contradicts_itself() {
    let add = "models/w126_add_d5_l2_h3_t15K_s372001";
    let mut seen = 0;
    for path in [add, SUB, MIX] {
        let evidence = stored(path);
        let of = |node: NodeName, tag: &str| {
            let claim = format!("{node} {tag}");
            evidence.claims.iter().find(move |c| c.claim == claim)
        };
        for claim in &evidence.claims {
            if let Verdict::Joint(joint) = &claim.verdict {
                let members = joint
                    .set
                    .iter()
                    .filter(|node| !joint.helping.contains(node));
                for other in members.filter_map(|&node| of(node, claim.tag())) {
                    seen += 1;
                    assert!(
                        !other.verdict.kind().refutes(),
                        "{}: {}",
                        claim.claim,
                        other.claim
                    );
                }
            }
            if let Verdict::Unspecific { .. } = claim.verdict {
                seen += 1;
                let measures = claim.deciding_measures().unwrap();
                assert!(
                    measures
                        .interchange_accuracy
                        .values()
                        .all(|rate| rate.share() >= HALF)
                );
            }
        }
    }
    assert!(seen > 100, "{seen}");
}
