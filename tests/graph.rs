//! The dependency graph: on the hand-written network, where it is known what feeds what, and on the
//! bundled addition model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use circuitcheck::analysis::graph::{
    Budget, Edge, EdgeVerdict, Flows, Graph, GraphError, GraphEvidence, KnownClaim, KnownClaims,
    SCRIPT, Selector, SelectorError, VertexKind, dot, figure, html, mermaid, svg,
};
use circuitcheck::domain::arithmetic::AnswerToken;
use circuitcheck::domain::node::{Node, NodeName};
use circuitcheck::domain::task::Variable;
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::network::engine::Engine;
use circuitcheck::network::handmade::{Carries, Handmade, addition};
use circuitcheck::verify::VerdictKind;
use circuitcheck::verify::evidence::Evidence;
use petgraph::Direction;
use petgraph::graph::NodeIndex;

const DIGITS: usize = 3;

const BUDGET: Budget = Budget {
    trials: 256,
    alpha: 0.01,
    seed: 1,
    relayed: true,
};

const EVERYTHING: Flows = Flows {
    unclaimed: true,
    relayed: true,
};

const DIRECT: Flows = Flows {
    unclaimed: false,
    relayed: false,
};

/// The true claims, each of the set it is true of.
fn true_claims(handmade: &Handmade) -> KnownClaims {
    let shape = handmade.weights.shape();
    let mut sharing: BTreeMap<Variable, Vec<Node>> = BTreeMap::new();
    for ((node, variable), carries) in &handmade.true_claims {
        if *carries != Carries::Alone {
            let nodes = sharing.entry(*variable).or_default();
            nodes.push(node.resolve(&shape).unwrap());
        }
    }
    let claims = handmade
        .true_claims
        .iter()
        .map(|((node, variable), carries)| {
            let (nodes, verdict) = match carries {
                Carries::Alone => (vec![node.resolve(&shape).unwrap()], VerdictKind::Supported),
                Carries::Jointly => (sharing[variable].clone(), VerdictKind::Joint),
                Carries::Redundantly => (sharing[variable].clone(), VerdictKind::Redundant),
            };
            KnownClaim {
                claim: format!("{node} {variable}"),
                variable: *variable,
                nodes,
                verdict: Some(verdict),
            }
        });
    KnownClaims {
        claims: claims.collect(),
        left_out: Vec::new(),
    }
}

/// Entries of the residual stream that a node writes to, by the table in `circuitcheck::network::handmade`.
fn written(node: &Node) -> &'static [&'static str] {
    match (node.layer(), node.head()) {
        (0, Some(0 | 1)) => &["sum"],
        (0, Some(2..=4)) => &["below"],
        (0, Some(5)) => &["lower"],
        (0, None) => &["votes"],
        (1, None) => &["carry", "overflow"],
        _ => &[],
    }
}

/// Entries that a node, or the logits, read.
fn read(target: &VertexKind) -> &'static [&'static str] {
    match target {
        VertexKind::Token(_) => &["sum", "carry", "overflow"],
        VertexKind::Claim { nodes, .. } => match (nodes[0].layer(), nodes[0].head()) {
            (0, None) => &["below", "lower"],
            (1, None) => &["votes", "sum"],
            _ => &[],
        },
    }
}

fn is_wired(from: &VertexKind, to: &VertexKind) -> bool {
    let VertexKind::Claim { nodes, .. } = from else {
        return false;
    };
    nodes
        .iter()
        .flat_map(written)
        .any(|entry| read(to).contains(entry))
}

fn ends(graph: &Graph) -> Vec<(&VertexKind, &VertexKind, &Edge)> {
    let indices = graph.edges.edge_indices();
    indices
        .map(|edge| {
            let (from, to) = graph.edges.edge_endpoints(edge).unwrap();
            let node_set = |vertex: NodeIndex| &graph.edges[vertex].kind;
            (node_set(from), node_set(to), &graph.edges[edge])
        })
        .collect()
}

#[test]
fn on_the_handwritten_network_every_true_edge_is_found_and_no_other() {
    let handmade = addition(DIGITS);
    let engine = Engine::new(&handmade.weights);
    let mut graph = Graph::new(true_claims(&handmade), engine.shape(), DIRECT);
    let budget = Budget {
        relayed: false,
        ..BUDGET
    };
    graph.measure(&engine, budget, &mut |_, _| {}).unwrap();
    let (mut wired, mut apart) = (0, 0);
    for (from, to, edge) in ends(&graph) {
        let direct = edge.measured.as_ref().unwrap().direct.unwrap();
        // A base value is the sum without its ten. By one way alone the sum comes with it, so there a
        // store of the same base value can change the answer: what passes is more than is claimed.
        let with_its_ten = from.to_string().contains(".SA ");
        assert!(with_its_ten || direct.null.hits == 0, "{from} to {to}");
        let expected: &[EdgeVerdict] = match (is_wired(from, to), with_its_ten) {
            (true, true) => &[EdgeVerdict::Feeds, EdgeVerdict::Unspecific],
            (true, false) => &[EdgeVerdict::Feeds],
            (false, _) => &[EdgeVerdict::Silent],
        };
        assert!(
            expected.contains(&edge.verdict()),
            "{from} to {to}: {edge:?}"
        );
        *if is_wired(from, to) {
            &mut wired
        } else {
            &mut apart
        } += 1;
    }
    assert!(wired >= 30 && apart >= 30, "{wired} wired, {apart} apart");
    assert_eq!(graph.unconnected().count(), 0);
    assert_eq!(graph.undermined().count(), 0);
}

#[test]
fn on_the_handwritten_network_no_flow_that_nobody_claims_is_found_where_nothing_is_wired() {
    let handmade = addition(2);
    let engine = Engine::new(&handmade.weights);
    let flows = Flows {
        relayed: false,
        ..EVERYTHING
    };
    let mut graph = Graph::new(true_claims(&handmade), engine.shape(), flows);
    let budget = Budget {
        relayed: false,
        ..BUDGET
    };
    graph.measure(&engine, budget, &mut |_, _| {}).unwrap();
    let unclaimed = ends(&graph).into_iter().filter(|(.., edge)| !edge.claimed);
    let mut seen = 0;
    for (from, to, edge) in unclaimed.filter(|(from, to, _)| !is_wired(from, to)) {
        let quiet = matches!(
            edge.verdict(),
            EdgeVerdict::Silent | EdgeVerdict::Untestable
        );
        assert!(quiet, "{from} to {to}: {edge:?}");
        seen += 1;
    }
    assert!(seen > 0);
}

/// Claims of the first layer alone: what they feed lies behind nodes that nothing is claimed of.
#[test]
fn what_passes_through_nodes_without_a_claim_is_relayed() {
    let handmade = addition(DIGITS);
    let engine = Engine::new(&handmade.weights);
    let mut known = true_claims(&handmade);
    known
        .claims
        .retain(|claim| claim.variable.to_string() == "A1.SC" && claim.nodes[0].head().is_some());
    let mut graph = Graph::new(known, engine.shape(), EVERYTHING);
    graph.measure(&engine, BUDGET, &mut |_, _| {}).unwrap();
    let token = VertexKind::Token(AnswerToken(2));
    let (_, _, edge) = ends(&graph)
        .into_iter()
        .find(|(_, to, _)| **to == token)
        .unwrap();
    assert!(edge.direct);
    assert_eq!(edge.verdict(), EdgeVerdict::Relayed, "{edge:?}");
    assert_eq!(graph.unconnected().count(), 0);
}

#[test]
fn an_idle_node_feeds_nothing() {
    let handmade = addition(DIGITS);
    let engine = Engine::new(&handmade.weights);
    let mut known = true_claims(&handmade);
    for claim in &mut known.claims {
        let name = claim.nodes[0].to_string();
        let idle = name.replace("L0H2", "L1H3");
        if claim.variable.to_string() == "A1.SC" && idle != name {
            let idle: circuitcheck::domain::node::NodeName = idle.parse().unwrap();
            claim.nodes = vec![idle.resolve(&engine.shape()).unwrap()];
        }
    }
    let mut graph = Graph::new(known, engine.shape(), EVERYTHING);
    graph.measure(&engine, BUDGET, &mut |_, _| {}).unwrap();
    let from_idle: Vec<_> = ends(&graph)
        .into_iter()
        .filter(|(from, ..)| from.to_string().contains("L1H3"))
        .collect();
    assert!(!from_idle.is_empty());
    for (from, to, edge) in from_idle {
        assert!(!edge.stands(), "{from} to {to}: {edge:?}");
    }
    assert_eq!(graph.unconnected().count(), 1);
}

#[test]
fn a_claim_that_rests_on_refuted_ones_alone_is_undermined_and_so_is_what_rests_on_it() {
    let handmade = addition(DIGITS);
    let shape = handmade.weights.shape();
    let mut known = true_claims(&handmade);
    for claim in &mut known.claims {
        if claim.nodes[0].layer() == 0 && claim.nodes[0].head().is_some() {
            claim.verdict = Some(VerdictKind::Refuted);
        }
    }
    let graph = Graph::new(known.clone(), shape, DIRECT);
    let undermined: BTreeSet<String> = graph.undermined().map(|v| v.kind.to_string()).collect();
    // Those of layer 0 rest on refuted heads, those of layer 1 on them.
    assert!(undermined.iter().any(|name| name.contains("L0M0")));
    assert!(undermined.iter().any(|name| name.contains("L1M0")));
    for name in ["A1.SC P9L0M0", "A2.STC P9L0M0", "A2.STC P9L1M0"] {
        assert!(undermined.contains(name), "{name} of {undermined:?}");
    }
    // No claim is made of what it rests on.
    assert!(!undermined.contains("A0.ST P10L0M0"));

    // One sound support is enough.
    let supported = known
        .claims
        .iter_mut()
        .find(|claim| claim.claim.ends_with("A1.SC"))
        .unwrap();
    supported.verdict = Some(VerdictKind::Supported);
    let graph = Graph::new(known, shape, DIRECT);
    assert!(graph.undermined().count() < undermined.len());
}

#[test]
fn every_graph_of_the_hand_written_network_is_without_a_cycle() {
    for digits in 2..=4 {
        let handmade = addition(digits);
        let graph = Graph::new(true_claims(&handmade), handmade.weights.shape(), EVERYTHING);
        let order = graph.order();
        assert_eq!(order.len(), graph.edges.node_count());
    }
}

#[test]
fn sets_that_span_layers_never_feed_each_other() {
    let handmade = addition(2);
    let shape = handmade.weights.shape();
    let set = |names: &[&str]| -> Vec<Node> {
        let node = |name: &&str| {
            let name: circuitcheck::domain::node::NodeName = name.parse().unwrap();
            name.resolve(&shape).unwrap()
        };
        names.iter().map(node).collect()
    };
    let claims = [
        ("A0.SC", set(&["P6L0H0", "P6L1M0"])),
        ("A0.SV", set(&["P6L0M0", "P6L1H1"])),
        ("A0.ST", set(&["P6L0H2", "P6L1H2"])),
    ];
    let claims = claims.map(|(variable, nodes)| KnownClaim {
        claim: format!("{} {variable}", nodes[0]),
        variable: variable
            .parse::<Selector>()
            .map(|s| match s {
                Selector::Variable(variable) => variable,
                other => panic!("{other}"),
            })
            .unwrap(),
        nodes,
        verdict: Some(VerdictKind::Joint),
    });
    let known = KnownClaims {
        claims: claims.to_vec(),
        left_out: Vec::new(),
    };
    let graph = Graph::new(known, shape, EVERYTHING);
    assert_eq!(graph.order().len(), 3 + shape.n_answer());
}

#[test]
fn the_same_seed_gives_the_same_graph_whatever_the_number_of_threads() {
    let handmade = addition(2);
    let engine = Engine::new(&handmade.weights);
    let measured = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let mut graph = Graph::new(true_claims(&handmade), engine.shape(), EVERYTHING);
            let budget = Budget {
                trials: 32,
                ..BUDGET
            };
            graph.measure(&engine, budget, &mut |_, _| {}).unwrap();
            stored(graph).to_json()
        })
    };
    assert_eq!(measured(1), measured(3));
}

#[test]
fn queries_follow_the_edges_that_stand() {
    let handmade = addition(DIGITS);
    let graph = Graph::new(true_claims(&handmade), handmade.weights.shape(), DIRECT);
    let select = |text: &str| graph.select(text.parse().unwrap()).unwrap();
    let upstream = graph.reachable(&select("A2"), Direction::Incoming);
    let names: BTreeSet<String> = graph
        .part(&upstream)
        .edges
        .node_weights()
        .map(|vertex| vertex.kind.to_string())
        .collect();
    // A2 is predicted at position 9; nothing elsewhere has a way into its logits but by a head.
    assert!(
        names.iter().all(|name| name == "A2" || name.contains("P9")),
        "{names:?}"
    );
    assert!(names.contains("A2.STC P9L1M0"));
    let downstream = graph.reachable(&select("P9L0M0"), Direction::Outgoing);
    assert!(downstream.contains(&select("A2")[0]));
    let between = graph.between(&select("P9L0M0"), &select("A2"));
    assert!(between.len() > 2 && between.is_subset(&upstream) && between.is_subset(&downstream));
    assert_eq!(graph.between(&select("A2"), &select("P9L0M0")).len(), 0);
}

#[test]
fn a_selector_that_names_nothing_says_what_there_is() {
    let handmade = addition(2);
    let graph = Graph::new(true_claims(&handmade), handmade.weights.shape(), DIRECT);
    for name in ["A3", "P9L0H1", "A1.ST"] {
        let [upper, lower] = [name, &name.to_lowercase()].map(str::parse::<Selector>);
        assert_eq!(lower, upper);
        assert!(upper.is_ok(), "{name}");
    }
    let malformed: Result<Selector, _> = "Q7".parse();
    assert_eq!(malformed, Err(SelectorError::Malformed("Q7".into())));
    let error = graph.select("A9".parse().unwrap()).unwrap_err().to_string();
    assert!(
        error.starts_with("the graph has no vertex A9, only A0.SA"),
        "{error}"
    );
}

fn bundled(name: &str) -> ModelFolder {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ModelFolder::open(&root.join("models").join(name)).unwrap()
}

fn evidence(name: &str) -> Evidence {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let json = std::fs::read(root.join("reports").join(name).join("evidence.json")).unwrap();
    Evidence::from_json(&json).unwrap()
}

/// A graph as a command source questions it.
fn stored(graph: Graph) -> GraphEvidence {
    GraphEvidence {
        model: "handmade".into(),
        weights_sha256: "00".into(),
        graph,
    }
}

/// A measured graph with all kinds of vertices and edges, as it is stored.
fn stored_json() -> String {
    let handmade = addition(2);
    let engine = Engine::new(&handmade.weights);
    let mut known = true_claims(&handmade);
    known.claims[0].verdict = Some(VerdictKind::Refuted);
    known.left_out.push("P99L0H0 A0.SA".into());
    let mut graph = Graph::new(known, engine.shape(), EVERYTHING);
    let budget = Budget {
        trials: 32,
        ..BUDGET
    };
    graph.measure(&engine, budget, &mut |_, _| {}).unwrap();
    stored(graph).to_json()
}

#[test]
fn a_stored_graph_is_read_back_and_written_again_to_the_byte() {
    let json = stored_json();
    let read = GraphEvidence::from_json(json.as_bytes()).unwrap();
    assert_eq!(read.to_json(), json);
    assert!(read.graph.protocol.is_some() && read.graph.left_out.len() == 1);
    // A part keeps what the whole knew of its vertices.
    let a0 = read.graph.select("A0".parse().unwrap()).unwrap();
    let part = stored(read.graph.part(&a0.into_iter().collect())).to_json();
    assert_eq!(
        GraphEvidence::from_json(part.as_bytes()).unwrap().to_json(),
        part
    );
}

#[test]
fn a_stored_graph_that_contradicts_itself_is_refused_with_what_is_wrong() {
    let json: serde_json::Value = serde_json::from_str(&stored_json()).unwrap();
    let refusal = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        let text = serde_json::to_vec(&json).unwrap();
        GraphEvidence::from_json(&text).unwrap_err().to_string()
    };
    let claim = json["vertices"][0]["id"].as_str().unwrap().to_owned();
    let another = json["vertices"][1]["id"].as_str().unwrap().to_owned();
    type Change<'a> = &'a dyn Fn(&mut serde_json::Value);
    let cases: [(Change, String); 10] = [
        (
            &|g| g["schema"] = "circuitcheck/graph/1".into(),
            "the graph has the format \"circuitcheck/graph/1\"".into(),
        ),
        (
            &|g| g["vertices"][0]["nodes"][0] = "P77L0H0".into(),
            format!("vertex {claim:?}: node P77L0H0"),
        ),
        (
            &|g| g["vertices"][0]["digit"] = 7.into(),
            "is about digit 7, but the model has 2 digits".into(),
        ),
        (
            &|g| g["vertices"][0]["task"] = "MZ".into(),
            format!("vertex {claim:?} has the contents of"),
        ),
        (
            &|g| g["vertices"][0]["nodes"] = serde_json::json!([]),
            "has no node".into(),
        ),
        (
            &|g| g["vertices"][1] = g["vertices"][0].clone(),
            format!("duplicate vertex {claim:?}"),
        ),
        (
            &|g| g["edges"][0]["to"] = "A9".into(),
            "an edge refers to \"A9\", which is not a vertex".into(),
        ),
        (
            &|g| g["edges"][0]["from"] = "A0".into(),
            "an edge leaves the answer token A0".into(),
        ),
        (
            &|g| {
                let wrong = match g["edges"][0]["verdict"].as_str() {
                    Some("open") => "silent",
                    _ => "open",
                };
                g["edges"][0]["verdict"] = wrong.into();
            },
            "but its measurements give".into(),
        ),
        (
            &|g| {
                for (i, (from, to)) in [(&claim, &another), (&another, &claim)].iter().enumerate() {
                    let mut edge = g["edges"][0].clone();
                    (edge["from"], edge["to"]) = (from.as_str().into(), to.as_str().into());
                    g["edges"][i] = edge;
                }
            },
            "the edges form a cycle".into(),
        ),
    ];
    for (change, expected) in cases {
        let error = refusal(change);
        assert!(error.contains(&expected), "{error}\n{expected}");
    }
    let error = GraphEvidence::from_json(b"[]").unwrap_err();
    assert!(matches!(error, GraphError::Malformed(_)), "{error}");
}

const ADD: &str = "w126_add_d5_l2_h3_t15K_s372001";

#[test]
fn on_the_bundled_addition_model_the_carry_reaches_the_answer_through_nodes_without_a_claim() {
    let folder = bundled(ADD);
    let engine = Engine::new(&folder.weights);
    let known =
        KnownClaims::about(&evidence(ADD), &folder.weights_sha256, &engine.shape()).unwrap();
    let mut graph = Graph::new(known, engine.shape(), EVERYTHING);
    graph.measure(&engine, BUDGET, &mut |_, _| {}).unwrap();
    let verdict = |from: &str, to: &str| {
        let found = ends(&graph)
            .into_iter()
            .find(|(a, b, _)| a.to_string() == from && b.to_string() == to);
        found
            .unwrap_or_else(|| panic!("no edge from {from} to {to}"))
            .2
            .verdict()
    };
    // DOMAIN's finding: A0.ST moves A2 and A3, and A1 never.
    assert_eq!(verdict("A0.ST P11L0H2", "A1"), EdgeVerdict::Silent);
    assert_eq!(verdict("A0.ST P11L0H2", "A2"), EdgeVerdict::Relayed);
    assert_eq!(verdict("A0.ST P11L0H2", "A3"), EdgeVerdict::Relayed);
    for k in 0..5 {
        let node = 17 - k;
        let (sa, token) = (format!("A{k}.SA P{node}L0H1"), format!("A{k}"));
        assert_eq!(verdict(&sa, &token), EdgeVerdict::Relayed);
    }
}

#[test]
fn evidence_about_other_weights_is_refused_with_both_digests() {
    let shape = bundled(ADD).weights.shape();
    let error = KnownClaims::about(&evidence(ADD), "0000", &shape).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the evidence is for weights 8d0b0e3e6f7e, but the model has 0000"
    );
}

#[test]
fn a_drawing_names_every_vertex_and_has_every_edge() {
    let handmade = addition(DIGITS);
    let graph = Graph::new(true_claims(&handmade), handmade.weights.shape(), EVERYTHING);
    let (vertices, edges) = (graph.edges.node_count(), graph.edges.edge_count());
    let dot = dot(&graph);
    assert_eq!(dot.matches(" -> ").count(), edges);
    assert_eq!(dot.matches("fillcolor").count(), vertices);
    let mermaid = mermaid(&graph);
    assert_eq!(mermaid.matches("linkStyle").count(), edges);
    assert_eq!(mermaid.matches("[\"").count(), vertices);
    let svg = svg(&graph);
    assert_eq!(svg.matches("<path ").count(), edges);
    assert_eq!(svg.matches("data-vertex=").count(), vertices);
    for vertex in graph.edges.node_weights() {
        if let VertexKind::Claim { variable, .. } = &vertex.kind {
            assert!(svg.contains(&format!(">{variable}</text>")));
        }
    }
}

#[test]
fn no_line_of_a_drawing_leaves_it_and_no_two_boxes_overlap() {
    let handmade = addition(4);
    let graph = Graph::new(true_claims(&handmade), handmade.weights.shape(), EVERYTHING);
    let svg = svg(&graph);
    let number = |tag: &str, name: &str| -> i64 {
        let (_, rest) = tag.split_once(&format!(" {name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.parse().unwrap()
    };
    let (width, height) = (number(&svg, "width"), number(&svg, "height"));
    let boxes: Vec<[i64; 4]> = svg
        .lines()
        .filter(|line| line.contains("data-vertex"))
        .map(|line| &line[line.find("<rect").unwrap()..])
        .map(|rect| ["x", "y", "width", "height"].map(|name| number(rect, name)))
        .collect();
    assert_eq!(boxes.len(), graph.edges.node_count());
    for (i, [x, y, w, h]) in boxes.iter().enumerate() {
        assert!(*x >= 0 && *y >= 0 && x + w <= width && y + h <= height);
        for [x2, y2, w2, h2] in &boxes[..i] {
            let apart = x + w < *x2 || x2 + w2 < *x || y + h < *y2 || y2 + h2 < *y;
            assert!(apart, "{x} {y} and {x2} {y2}");
        }
    }
    for path in svg.split("<path d=\"").skip(1) {
        let path = path.split_once('"').unwrap().0;
        let numbers: Vec<i64> = path
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let points: Vec<[i64; 2]> = numbers.chunks(2).map(|p| [p[0], p[1]]).collect();
        for [x, y] in &points {
            assert!(*x <= width && *y <= height, "{path}");
        }
        // Between its ends a line runs around the boxes.
        for ends in points.windows(2) {
            let [left, right] = [ends[0][0].min(ends[1][0]), ends[0][0].max(ends[1][0])];
            let [top, bottom] = [ends[0][1].min(ends[1][1]), ends[0][1].max(ends[1][1])];
            for [x, y, w, h] in &boxes {
                let crosses = left < x + w && right > *x && top < y + h && bottom > *y;
                assert!(!crosses, "{path} crosses the box at {x} {y}");
            }
        }
    }
    assert_eq!(
        svg.matches("<polygon class=\"head\"").count(),
        graph.edges.edge_count()
    );
}

#[test]
fn a_set_is_drawn_at_each_of_its_nodes_and_columns_say_what_they_read_and_predict() {
    let handmade = addition(DIGITS);
    let shape = handmade.weights.shape();
    let mut known = true_claims(&handmade);
    let apart = known.claims.iter_mut().find(|claim| claim.nodes.len() == 1);
    let claim = apart.unwrap();
    let node = claim.nodes[0];
    let elsewhere = (0..node.position())
        .find_map(|p| {
            format!("P{p}L0H0")
                .parse::<NodeName>()
                .unwrap()
                .resolve(&shape)
                .ok()
        })
        .unwrap();
    claim.nodes.insert(0, elsewhere);
    let svg = svg(&Graph::new(known, shape, EVERYTHING));
    assert_eq!(svg.matches("<g class=\"member ").count(), 1);
    assert!(svg.contains(&format!(">{elsewhere}</text></g>")), "{svg}");
    assert!(svg.contains(">reads =</text>"));
    assert!(svg.contains(&format!(">predicts A{DIGITS}</text>")));
    for layer in 0..shape.n_layers {
        assert!(svg.contains(&format!(">L{layer} MLP</text>")));
    }
}

#[test]
fn a_page_holds_the_drawing_and_the_script_and_fetches_nothing() {
    let handmade = addition(2);
    let mut known = true_claims(&handmade);
    known.claims[0].claim = "<script>alert(1)</script>".into();
    let graph = Graph::new(known, handmade.weights.shape(), EVERYTHING);
    let page = html(&graph, "a <b> & c");
    assert!(page.contains(&svg(&graph)) && page.contains(SCRIPT));
    assert!(page.contains("<title>a &lt;b&gt; &amp; c</title>"));
    assert_eq!(page.matches("<script>").count(), 1);
    for fetching in ["src=", "@import", "url(", "<link", "fetch("] {
        assert!(!page.contains(fetching), "{fetching}");
    }
    // The one address is the name of SVG's vocabulary.
    assert_eq!(page.matches("http").count(), 1);
    // What is put into other pages has no identifier that could be there twice.
    assert!(!figure(&graph).contains(" id="));
}
