//! Interventions: which activations are overwritten, and with what.

use std::fmt;

use crate::domain::node::Node;
use crate::domain::shape::Shape;

/// An activation at one token position that can be read and overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// A head's `hook_z` or an MLP's `hook_post`.
    Node(Node),
    /// `hook_resid_post`: the residual stream at a position after a layer.
    Residual {
        /// Token position.
        position: usize,
        layer: usize,
    },
}

impl Site {
    /// Token position.
    pub fn position(&self) -> usize {
        match self {
            Site::Node(node) => node.position(),
            Site::Residual { position, .. } => *position,
        }
    }

    pub fn layer(&self) -> usize {
        match self {
            Site::Node(node) => node.layer(),
            Site::Residual { layer, .. } => *layer,
        }
    }

    /// Number of values: `d_head`, `d_mlp` or `d_model`.
    pub fn width(&self, shape: &Shape) -> usize {
        match self {
            Site::Node(node) if node.head().is_some() => shape.d_head,
            Site::Node(_) => shape.d_mlp,
            Site::Residual { .. } => shape.d_model,
        }
    }

    /// Whether a network of this shape has the site. A node is only known to exist in the model it
    /// was resolved against, and a residual site is any two numbers.
    pub fn is_in(&self, shape: &Shape) -> bool {
        match self {
            Site::Node(node) => node.name().resolve(shape).is_ok(),
            Site::Residual { position, layer } => {
                *position < shape.n_ctx() && *layer < shape.n_layers
            }
        }
    }

    /// Whether writing here can affect the logits of an answer token. It cannot at the last
    /// position, whose logits predict nothing, nor in the last layer before the answer.
    pub fn reaches_an_answer(&self, shape: &Shape) -> bool {
        let last_layer = self.layer() + 1 == shape.n_layers;
        let earliest = if last_layer {
            shape.first_answer_position()
        } else {
            0
        };
        (earliest..shape.n_ctx() - 1).contains(&self.position())
    }
}

impl From<Node> for Site {
    fn from(node: Node) -> Self {
        Site::Node(node)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Site::Node(node) => node.fmt(f),
            Site::Residual { position, layer } => write!(f, "P{position}L{layer}RESID"),
        }
    }
}

/// The origin of an overwriting value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The mean over a set of questions.
    Mean,
    Zero,
    /// The same activation in a run of another question.
    Stored,
    /// The same activation in a run of the same question.
    Own,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Mean => "mean",
            Source::Zero => "zero",
            Source::Stored => "stored",
            Source::Own => "own",
        })
    }
}

/// A site and the value that overwrites it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overwrite<'a> {
    pub site: Site,
    /// The origin of the value.
    pub source: Source,
    /// The value, with the [width](Site::width) of the site.
    pub value: &'a [f32],
}

/// A set of overwrites applied together in one forward pass. It owns nothing of the network and
/// leaves no trace in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Intervention<'a> {
    overwrites: Vec<Overwrite<'a>>,
}

impl<'a> Intervention<'a> {
    /// The intervention that overwrites nothing.
    pub const fn none() -> Self {
        Intervention {
            overwrites: Vec::new(),
        }
    }

    /// The intervention with these overwrites. If a site occurs more than once, its first value is
    /// used.
    pub fn new(overwrites: impl IntoIterator<Item = Overwrite<'a>>) -> Self {
        let mut overwrites: Vec<_> = overwrites.into_iter().collect();
        overwrites.sort_by_key(|o| o.site);
        overwrites.dedup_by_key(|o| o.site);
        Intervention { overwrites }
    }

    /// The overwrites, sorted by site.
    pub fn overwrites(&self) -> &[Overwrite<'a>] {
        &self.overwrites
    }

    /// Whether nothing is overwritten.
    pub fn is_empty(&self) -> bool {
        self.overwrites.is_empty()
    }
}

impl fmt::Display for Intervention<'_> {
    /// Writes `P15L0H2=stored P16L0H1=mean`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, overwrite) in self.overwrites.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}={}", overwrite.site, overwrite.source)?;
        }
        Ok(())
    }
}
