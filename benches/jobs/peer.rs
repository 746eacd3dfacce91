//! The Python process that does the same work, one turn at a time.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use circuitcheck::domain::arithmetic::Prompt;
use circuitcheck::domain::node::Node;
use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::model::Weights;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::{Subject, Turn};

/// The interpreter that `benches/compare` provides.
const PYTHON: &str = "target/peer/bin/python";

/// What a job is about, as the peer reads it.
pub struct Task {
    pub fields: Value,
    /// Prompts by the name of their file.
    pub prompts: Vec<(&'static str, Vec<Prompt>)>,
    /// Units of work in a turn.
    pub units: usize,
}

impl Task {
    /// A task on a model, with nothing to work on yet.
    pub fn new(node_set: &Subject, units: usize) -> Self {
        let shape = node_set.folder.weights.shape();
        Task {
            fields: json!({
                "weights": node_set.weights,
                "n_ctx": shape.n_ctx(),
                "n_answer": shape.n_answer(),
                "d_model": shape.d_model,
            }),
            prompts: Vec::new(),
            units,
        }
    }

    /// The same with a field.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.fields[name] = value;
        self
    }

    /// The same with prompts in a file.
    pub fn with_prompts(mut self, name: &'static str, prompts: &[Prompt]) -> Self {
        self.prompts.push((name, prompts.to_vec()));
        self
    }
}

/// Nodes as the peer reads them: position, layer, and the head's number or -1 for the MLP.
pub fn nodes(nodes: &[Node]) -> Value {
    let node = |node: &Node| {
        let head = node.head().map_or(-1, |head| head as i64);
        json!([node.position(), node.layer(), head])
    };
    nodes.iter().map(node).collect()
}

/// A folder for what is handed over.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new("target/peer/work").join(name);
    fs::create_dir_all(&folder).expect("target can be written");
    folder
}

/// Writes random weights where there are no real ones.
pub fn write_weights(path: &Path, shape: Shape) {
    let weights = Weights::random(shape, 1);
    let arrays: Vec<(String, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, array)| {
            let bytes = array.data().iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.to_owned(), array.shape().to_vec(), bytes)
        })
        .collect();
    let views = arrays.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (
            name,
            view.expect("an array has as many values as its shape says"),
        )
    });
    safetensors::serialize_to_file(views, None, path).expect("target can be written");
}

/// A Python process that is ready to do a job again and again.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
    units: usize,
}

impl Peer {
    /// Starts the process and waits until it has done the job once.
    ///
    /// # Panics
    /// If Python or a package is missing: `benches/compare` installs them.
    pub fn start(job: &str, task: &Task) -> Self {
        let folder = folder(job);
        fs::write(folder.join("task.json"), task.fields.to_string()).unwrap();
        for (name, prompts) in &task.prompts {
            let tokens: Vec<u8> = prompts.iter().flat_map(Prompt::tokens).collect();
            fs::write(folder.join(name), tokens).unwrap();
        }
        let mut child = Command::new(PYTHON)
            .arg("benches/peer/worker.py")
            .args([Path::new(job), &folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("benches/compare makes the peers' environment");
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            let read = output.read_line(&mut line).unwrap();
            assert!(read > 0, "the peer for {job} ended before it was ready");
        }
        Peer {
            child,
            input,
            output,
            folder,
            units: task.units,
        }
    }

    /// What the peer says of one turn.
    pub fn say(&mut self) -> Value {
        writeln!(self.input, "go").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the peer answers with a line of JSON")
    }

    /// One turn.
    pub fn turn(&mut self) -> Turn {
        let said = self.say();
        Turn {
            wall: said["wall"].as_f64().unwrap(),
            cpu: said["cpu"].as_f64().unwrap(),
            units: self.units as f64,
        }
    }

    /// The answer tokens that the last turn gave.
    pub fn answers(&self) -> Vec<u8> {
        fs::read(self.folder.join("answers")).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
