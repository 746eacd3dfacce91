//! The examples. Each asserts on what it finds.

#[path = "../examples/ablate_a_set.rs"]
mod ablate_a_set;
#[path = "../examples/patch_and_read_logits.rs"]
mod patch_and_read_logits;
#[path = "../examples/verify_one_claim.rs"]
mod verify_one_claim;

#[test]
fn one_claim_is_verified() {
    verify_one_claim::main().unwrap();
}

#[test]
fn a_patch_changes_the_digit_that_the_node_computes() {
    patch_and_read_logits::main().unwrap();
}

#[test]
fn the_wrong_answers_of_an_ablation_are_counted() {
    ablate_a_set::main().unwrap();
}
