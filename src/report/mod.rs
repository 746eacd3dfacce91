//! Reports: what is made from evidence, and how it gets onto disk.

mod attention;
mod behaviors;
mod circuit;
mod circuit_tests;
mod claim_view;
mod commands;
mod comparison;
mod document;
mod evidence_map;
mod glossary;
mod html;
mod junit;
mod markdown;
mod parquet;
mod parts;
mod property;
mod protocol;
mod run;
mod store;
mod summary;

pub use attention::{Attention, AttentionError, HeadAttention};
pub use behaviors::{
    BEHAVIORS_SCHEMA, BehaviorEvidence, behaviors_markdown, count_tags, reading_text, said,
    verdict_names, verdict_text,
};
pub use circuit::{circuit_markdown, clause_verdict, failing_tokens, percent};
pub use circuit_tests::test_sentences;
pub use claim_view::ClaimView;
pub use commands::quoted;
pub use comparison::{Apart, Comparison, Flip, Player, Role, Term};
pub use document::{
    ATTENTION_FILE, Change, DISCOVERED, EVIDENCE_FILE, RUN_FILE, Report, ReportError,
};
pub use evidence_map::{
    DECIDING_PARTS, evidence_cell, evidence_counts, evidence_markdown, evidence_page,
};
pub use glossary::{GlossaryEntry, define, glossary};
pub use html::{
    CellError, attention_cell, claim_cell, experiment_cell, graph_cell, map_cell, model_cell,
    run_cell,
};
pub(crate) use html::{
    PALETTE, badge as verdict_badge, head as page_head, term, tone as verdict_tone,
};
pub use markdown::{explanation, markdown};
pub use parquet::{ClaimRow, claim_rows, claims_table, measures_table, trials_table};
pub use parts::{FoundPart, PartContent, PartKind, StoredPart};
pub use property::{property_markdown, property_summary};
pub use protocol::{changes_text, effects_markdown, strict_markdown};
pub use run::{Margin, RunRecord, margins};
pub use store::{
    StoreError, store_attention, store_circuits, store_evidence, store_graph, store_properties,
    store_report, store_verification, stored_report,
};
pub use summary::{SUMMARY_SCHEMA, summary, summary_schema};

use crate::verify::evidence::Evidence;

/// The forms in which a report can be written as text; tables have functions of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// One page for a browser, complete in itself.
    Html,
    /// Markdown, for a repository.
    Markdown,
    /// JSON, for other programs.
    Json,
    /// JUnit XML, for a CI that shows claims as tests.
    Junit,
}

impl Format {
    /// The forms that every report has.
    pub const ALL: [Format; 3] = [Format::Html, Format::Markdown, Format::Json];

    /// The file of this form.
    pub const fn file(self) -> &'static str {
        match self {
            Format::Html => "report.html",
            Format::Markdown => "report.md",
            Format::Json => "report.json",
            Format::Junit => "junit.xml",
        }
    }

    /// The report in this form.
    pub fn write(self, report: &Report) -> String {
        match self {
            Format::Html => html::page(report),
            Format::Markdown => markdown(report),
            Format::Json => summary(report),
            Format::Junit => junit::junit(report),
        }
    }
}

/// One line that sums up a verification.
pub fn summary_line(evidence: &Evidence) -> String {
    let counts: Vec<String> = (evidence.summary.iter())
        .map(|(kind, number)| format!("{number} {kind}"))
        .collect();
    let claims = evidence.claims.len();
    let noun = if claims == 1 { "claim" } else { "claims" };
    format!("{claims} {noun}: {}", counts.join(", "))
}
