//! `circuitcheck explain` as its users meet it.

mod common;

use std::process::Output;

use common::program;

fn explain(arguments: &[&str]) -> Output {
    let mut program = program();
    program.arg("explain").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_term_is_explained_whatever_its_case_and_by_any_of_its_names() {
    for name in ["ST", "st"] {
        let output = explain(&[name]);
        assert!(output.status.success());
        let entry = text(&output.stdout);
        assert!(entry.starts_with("ST: Sum, Tri-case"), "{entry}");
    }
    let short = explain(&["IIA"]);
    assert_eq!(short.stdout, explain(&["interchange accuracy"]).stdout);
}

#[test]
fn without_a_term_all_of_them_are_listed() {
    let output = explain(&[]);
    let list = text(&output.stdout);
    for term in ["  ST: ", "  joint: ", "  IIA: ", "\nVerdicts\n"] {
        assert!(list.contains(term), "{term}: {list}");
    }
}

#[test]
fn an_unknown_term_is_a_usage_error_that_suggests_one() {
    let output = explain(&["jont"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("did you mean joint?"), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_claim_is_explained_as_verify_does() {
    let add = "models/w126_add_d5_l2_h3_t15K_s372001";
    let output = explain(&["P17L0H1 A0.SA", add]);
    let mut verify = program();
    let verify = verify.args(["verify", add, "--explain", "P17L0H1 A0.SA"]);
    let expected = verify.output().unwrap();
    assert!(expected.status.success());
    assert_eq!(text(&output.stdout), text(&expected.stdout));
}
