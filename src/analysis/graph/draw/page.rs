//! A graph to pan and zoom: as part of a page, or as a page of its own. Nothing is fetched.

use super::escaped;
use super::svg::svg;
use crate::analysis::graph::Graph;

/// The script for every [`figure`] of a page: drag to pan; wheel (with Ctrl, unless the graph has
/// the page to itself) or buttons to zoom; click or Enter to highlight what a vertex depends on and
/// what it feeds. One copy at the end of the page is enough. Without it, a figure is a static
/// image.
pub const SCRIPT: &str = include_str!("graph.js");

/// The styles around a [`figure`]; the image has its own.
const STYLE: &str = include_str!("figure.css");

/// Text shown beside a graph until a vertex is selected.
const HINT: &str = "Drag to pan. Click a box, or focus it with Tab and press Enter, to see what it depends on and what it feeds. Press Escape to deselect.";

/// The graph as part of a page: an image with controls, made interactive by [`SCRIPT`].
pub fn figure(graph: &Graph) -> String {
    framed(graph, "")
}

fn framed(graph: &Graph, attributes: &str) -> String {
    format!(
        "<div class=\"circuit-figure\"{attributes}>\n<style>\n{STYLE}</style>\n\
         <div class=\"bar\" hidden>\
         <span><button type=\"button\" data-do=\"in\" aria-label=\"zoom in\">+</button> \
         <button type=\"button\" data-do=\"out\" aria-label=\"zoom out\">−</button> \
         <button type=\"button\" data-do=\"fit\">whole graph</button></span>\
         <label>find <input type=\"search\" placeholder=\"A1.ST, P9L0H1\" spellcheck=\"false\"></label>\
         <label>highlight <select><option value=\"both\">both directions</option><option value=\"rests\">what it depends on</option><option value=\"feeds\">what it feeds</option></select></label>\
         <label><input type=\"checkbox\"> silent edges</label></div>\n\
         <div class=\"view\">\n{}</div>\n<pre class=\"told\" aria-live=\"polite\">{HINT}</pre>\n</div>\n",
        svg(graph)
    )
}

/// The graph as a page of its own.
pub fn html(graph: &Graph, title: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n\
         body {{ margin: 0 }}\n\
         main {{ box-sizing: border-box; height: 100vh; padding: 10px 14px; display: grid; grid-template-rows: auto 1fr }}\n\
         h1 {{ margin: 0 0 8px; font: 600 15px system-ui, sans-serif }}\n\
         main .circuit-figure {{ min-height: 0; grid-template-rows: auto 1fr auto }}\n\
         main .circuit-figure .view {{ min-height: 0; overflow: hidden }}\n\
         main .circuit-figure .told {{ max-height: 24vh }}\n\
         main .circuit-figure svg {{ height: 100%; touch-action: none }}\n\
         @media (prefers-color-scheme: dark) {{ body {{ background: #0f141b; color: #e2e8f0 }} }}\n\
         </style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        framed(graph, " data-page")
    )
}
