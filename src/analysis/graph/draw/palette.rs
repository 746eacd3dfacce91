//! The colours of a graph, in light and dark mode.

use std::fmt::Write;

use super::WRITES;
use crate::analysis::graph::{Edge, EdgeVerdict, Vertex};
use crate::verify::VerdictKind;

type Paint = (&'static str, &'static str);

/// The meaning of a vertex's colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    Holds,
    Doubtful,
    Refuted,
    Undermined,
    Untested,
    Answer,
}

impl Tone {
    const ALL: [Tone; 6] = [
        Tone::Holds,
        Tone::Doubtful,
        Tone::Refuted,
        Tone::Undermined,
        Tone::Untested,
        Tone::Answer,
    ];

    pub(super) fn of(vertex: &Vertex) -> Self {
        use VerdictKind as V;
        if !vertex.is_claim() {
            return Tone::Answer;
        }
        if vertex.undermined {
            return Tone::Undermined;
        }
        match vertex.verdict {
            Some(V::Supported | V::Joint | V::Redundant) => Tone::Holds,
            Some(
                V::Partial | V::JointInPart | V::NotShown | V::Inconclusive | V::Correlational,
            ) => Tone::Doubtful,
            Some(V::Unspecific | V::Refuted) => Tone::Refuted,
            Some(V::NotTestable) | None => Tone::Untested,
        }
    }

    /// The class name in the stylesheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Holds => "holds",
            Tone::Doubtful => "doubtful",
            Tone::Refuted => "refuted",
            Tone::Undermined => "undermined",
            Tone::Untested => "untested",
            Tone::Answer => "answer",
        }
    }

    /// The text in the legend.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Tone::Holds => "holds",
            Tone::Doubtful => "in part or open",
            Tone::Refuted => "refuted",
            Tone::Undermined => "undermined",
            Tone::Untested => "not tested",
            Tone::Answer => "answer token",
        }
    }

    pub(super) fn by_day(self) -> Paint {
        match self {
            Tone::Holds => ("#e3f4e6", "#2e7d43"),
            Tone::Doubtful => ("#fff8e1", "#b7791f"),
            Tone::Refuted => ("#fde7e7", "#b42323"),
            Tone::Undermined => ("#ffe8d6", "#c2410c"),
            Tone::Untested => ("#ffffff", "#94a3b8"),
            Tone::Answer => ("#e8eef7", "#475569"),
        }
    }

    fn by_night(self) -> Paint {
        match self {
            Tone::Holds => ("#12331d", "#4fb56c"),
            Tone::Doubtful => ("#35290d", "#d9a441"),
            Tone::Refuted => ("#3d1517", "#e0605f"),
            Tone::Undermined => ("#41200c", "#f08a4b"),
            Tone::Untested => ("#1b222c", "#7c8aa0"),
            Tone::Answer => ("#1f2b3d", "#9fb2cc"),
        }
    }
}

/// The style of a line.
pub(super) struct Stroke {
    pub(super) by_day: &'static str,
    by_night: &'static str,
    pub(super) dashed: bool,
    width: &'static str,
    opacity: &'static str,
}

pub(super) const VERDICTS: [EdgeVerdict; 7] = [
    EdgeVerdict::Feeds,
    EdgeVerdict::Relayed,
    EdgeVerdict::Unspecific,
    EdgeVerdict::Open,
    EdgeVerdict::Silent,
    EdgeVerdict::Untestable,
    EdgeVerdict::Unmeasured,
];

pub(super) fn stroke(verdict: EdgeVerdict) -> Stroke {
    let stroke = |by_day, by_night, dashed, width, opacity| Stroke {
        by_day,
        by_night,
        dashed,
        width,
        opacity,
    };
    match verdict {
        EdgeVerdict::Feeds => stroke("#2e7d43", "#4fb56c", false, "1.6", "0.9"),
        EdgeVerdict::Relayed => stroke("#2563eb", "#7aa8ff", false, "1.6", "0.8"),
        EdgeVerdict::Unspecific => stroke("#b42323", "#e0605f", false, "1.4", "0.8"),
        EdgeVerdict::Open => stroke("#b7791f", "#d9a441", true, "1", "0.8"),
        // Edges without an effect must not hide those with one.
        EdgeVerdict::Silent => stroke("#94a3b8", "#64748b", true, "0.6", "0.3"),
        EdgeVerdict::Untestable => stroke("#94a3b8", "#64748b", true, "0.6", "0.3"),
        EdgeVerdict::Unmeasured => stroke("#64748b", "#94a3b8", false, "0.8", "0.55"),
    }
}

/// Whether a line is dashed: by its verdict, or because it does not follow from the arithmetic.
pub(super) fn is_dashed(edge: &Edge) -> bool {
    stroke(edge.verdict()).dashed || !edge.claimed
}

fn tone_rules(out: &mut String, colours: fn(Tone) -> (&'static str, &'static str)) {
    for tone in Tone::ALL {
        let (class, (fill, border)) = (tone.class(), colours(tone));
        writeln!(
            out,
            ".circuit-graph .{class} rect{{fill:{fill};stroke:{border}}}"
        )
        .expect(WRITES);
    }
}

/// The stylesheet of an image. Its rules apply only inside `svg.circuit-graph`, so it can be
/// embedded in any page, and use no variables, which many image viewers do not support.
pub(super) fn style() -> String {
    let mut out = String::from(
        ".circuit-graph{background:#fff;font:10px system-ui,sans-serif}\n\
         .circuit-graph text{fill:#0f172a}\n\
         .circuit-graph .band{fill:#f6f8fb}\n\
         .circuit-graph .place{fill:#475569}\n\
         .circuit-graph .title{font-weight:700}\n\
         .circuit-graph path,.circuit-graph line{fill:none}\n\
         .circuit-graph .dashed path,.circuit-graph .dashed line{stroke-dasharray:5 3}\n\
         .circuit-graph line.member{stroke:#94a3b8;stroke-dasharray:2 3}\n\
         .circuit-graph g.member rect{stroke-dasharray:2 3}\n\
         .circuit-graph .faint text{opacity:.5}\n\
         .circuit-graph .faint rect{stroke-opacity:.35}\n\
         .circuit-graph .vertex{cursor:pointer;outline:none}\n\
         .circuit-graph .vertex:focus-visible rect,.circuit-graph .chosen rect{stroke-width:2.5}\n\
         .circuit-graph.lit .vertex:not(.on){opacity:.18}\n\
         .circuit-graph.lit .edge:not(.on){opacity:.04}\n\
         .circuit-graph.lit .on{opacity:1}\n\
         .circuit-graph.lit .edge.on{stroke-width:2}\n\
         .circuit-graph.quiet .edge.silent:not(.on),.circuit-graph.quiet .edge.untestable:not(.on){display:none}\n",
    );
    tone_rules(&mut out, Tone::by_day);
    for verdict in VERDICTS {
        let Stroke {
            by_day,
            width,
            opacity,
            ..
        } = stroke(verdict);
        writeln!(
            out,
            ".circuit-graph .{verdict}{{stroke:{by_day};stroke-width:{width};opacity:{opacity}}}\n.circuit-graph .{verdict} .head{{fill:{by_day};stroke:none}}"
        )
        .expect(WRITES);
    }
    out += ".circuit-graph .legend{opacity:1}\n";
    out += "@media (prefers-color-scheme:dark){\n\
            .circuit-graph{background:#0f141b}\n\
            .circuit-graph text{fill:#e2e8f0}\n\
            .circuit-graph .band{fill:#171e27}\n\
            .circuit-graph .place{fill:#94a3b8}\n";
    tone_rules(&mut out, Tone::by_night);
    for verdict in VERDICTS {
        let colour = stroke(verdict).by_night;
        writeln!(
            out,
            ".circuit-graph .{verdict}{{stroke:{colour}}}\n.circuit-graph .{verdict} .head{{fill:{colour}}}"
        )
        .expect(WRITES);
    }
    out + "}\n"
}
