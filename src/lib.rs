//! Checks published claims about what the parts of small arithmetic transformers compute, by
//! intervening on the network.
//!
//! A claim says that a node (one head, or one MLP, at one token position) computes one variable of
//! the arithmetic: `P17L0H1` performs `A0.SA`, the base sum of digit 0. To check it, the node's
//! activation in a run of one question is patched into a run of another, and the answer is compared
//! with what integer arithmetic predicts when that one variable is replaced and all else is kept.
//!
//! One complete claim:
//!
//! ```
//! use std::path::Path;
//!
//! use circuitcheck::inputs::model::ModelFolder;
//! use circuitcheck::verify::{Options, verify};
//!
//! let folder = ModelFolder::open(Path::new("models/w126_add_d5_l2_h3_t15K_s372001"))?;
//! let options = Options {
//!     nodes: vec!["P17L0H1".parse()?],
//!     ..Options::default()
//! };
//! let evidence = verify(&folder, None, &options, &mut |_| {})?;
//!
//! let claim = &evidence.claims[0];
//! assert_eq!(claim.claim, "P17L0H1 A0.SA");
//! assert_eq!(claim.verdict.name(), "supported");
//!
//! // Rests on: every one of 256 random pairs gave exactly the predicted answer, and no pair with
//! // equal base sums changed anything.
//! let measures = &claim.trials.as_ref().unwrap().alone;
//! let accuracy = measures.interchange_accuracy.values().next().unwrap();
//! assert_eq!((accuracy.hits, accuracy.trials), (256, 256));
//! assert_eq!(measures.control_pairs.hits, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The rooms
//!
//! A room imports only rooms above it. `ARCHITECTURE.md` shows the way of the data through them.
//!
//! | room | owns |
//! |---|---|
//! | [`domain`] | questions, arithmetic, causal models, nodes, tasks, shapes: integers and names |
//! | [`storage`] | files written whole, locks, Parquet columns |
//! | [`inputs`] | model folders, claims files, the hub: read and validated |
//! | [`network`] | the plain forward pass, the engine, derivatives, ablations, networks written by hand |
//! | [`experiment`] | pairs and their runs, counts, exact bounds, sequential sampling |
//! | [`training`] | models made: recipe, questions, optimiser, insertion |
//! | [`verify`] | from claims to verdicts and evidence |
//! | [`analysis`] | accuracy, properties, the graph, circuits, hypotheses, the published protocol |
//! | [`report`] | each form of report, from evidence |
//! | [`batch`] | many models, many machines |

// The command line names the library by its name, as the binary and the Python package do.
extern crate self as circuitcheck;

pub mod analysis;
pub mod batch;
#[doc(hidden)]
pub mod cli;
pub mod domain;
pub mod experiment;
pub mod inputs;
pub mod network;
pub mod report;
pub mod storage;
pub mod training;
pub mod verify;
