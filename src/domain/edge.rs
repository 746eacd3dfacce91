//! Edges: what one site adds to what another reads.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::shape::Shape;
use super::site::{Hook, Point, Site, SiteError};
use super::text::text_form;

/// Errors in the name of an edge.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum EdgeError {
    /// Text that is not an edge.
    #[error(
        "{text:?} is no edge: expected one such as P15L1H2 -> P15L1M0, or P15L1H2<P11 -> P15L1M0"
    )]
    Malformed { text: String },
    /// A part of it that is not a site.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A site that adds nothing to the residual stream.
    #[error(
        "{site} adds nothing to the residual stream: expected a head, an MLP, an embedding, attn_out, \
         mlp_out or the stream itself"
    )]
    NoSender { site: Site },
    /// Key positions of a site that attends to none, or after the position that attends.
    #[error("{site} does not attend to P{key}")]
    Key { site: Site, key: usize },
    /// A site that does not read the residual stream.
    #[error(
        "{site} does not read the residual stream: expected a head, an MLP, a head's q, k or v, ln1 or \
         ln_final"
    )]
    NoReceiver { site: Site },
    /// Two sites with no edge between them.
    #[error("{from} adds nothing to what {to} reads")]
    Apart { from: String, to: String },
}

/// What is added to the residual stream at one position: all that a head, an MLP or an embedding adds,
/// the stream itself, or the part of a head's output that it reads at some positions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender {
    /// A site as wide as the stream.
    site: Site,
    /// The positions that a head reads at, sorted; empty for all.
    keys: Vec<usize>,
}

impl Sender {
    /// All that a site adds. A head's `hook_z` and an MLP's `hook_post` stand for what they add.
    ///
    /// # Errors
    /// [`EdgeError::NoSender`].
    pub fn new(site: Site) -> Result<Self, EdgeError> {
        let no_sender = EdgeError::NoSender { site };
        if site.is_slice() {
            return Err(no_sender);
        }
        let position = site.position();
        let site = match (site.point(), site.head(), site.hook().layer()) {
            (Point::Z, Some(head), Some(layer)) => {
                Site::of_head(position, Hook::of(Point::Result, layer), head)
            }
            (Point::Post, _, Some(layer)) => Site::at(position, Hook::of(Point::MlpOut, layer)),
            (
                Point::Result
                | Point::Embed
                | Point::PosEmbed
                | Point::ResidPre
                | Point::AttnOut
                | Point::ResidMid
                | Point::MlpOut
                | Point::ResidPost,
                ..,
            ) => site,
            _ => return Err(no_sender),
        };
        let keys = Vec::new();
        Ok(Sender { site, keys })
    }

    /// The part of a head's output that it reads at these positions.
    ///
    /// # Errors
    /// [`EdgeError::Key`] unless it is a head's and attends to them.
    pub fn reading_at(mut self, keys: impl IntoIterator<Item = usize>) -> Result<Self, EdgeError> {
        let site = self.site;
        self.keys = keys.into_iter().collect();
        self.keys.sort_unstable();
        self.keys.dedup();
        let is_read = |&&key: &&usize| site.head().is_none() || key > site.position();
        match self.keys.iter().find(is_read) {
            Some(&key) => Err(EdgeError::Key { site, key }),
            None => Ok(self),
        }
    }

    /// The site that holds all that it adds.
    pub fn site(&self) -> Site {
        self.site
    }

    /// The positions that a head reads at; empty for all.
    pub fn keys(&self) -> &[usize] {
        &self.keys
    }

    /// Where in the stream it is found: after this point of this layer.
    fn written(&self) -> (Option<usize>, Point) {
        (self.site.hook().layer(), self.site.point())
    }
}

/// What reads the residual stream: a head by its queries, keys and values, one of the three at a
/// position, all heads at a position, an MLP, or the logits at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receiver(Site);

impl Receiver {
    /// What reads the stream at a site. An MLP's `hook_post` stands for its `ln2`.
    ///
    /// # Errors
    /// [`EdgeError::NoReceiver`].
    pub fn new(site: Site) -> Result<Self, EdgeError> {
        let layer = site.hook().layer();
        match (site.point(), layer) {
            _ if site.is_slice() => Err(EdgeError::NoReceiver { site }),
            (Point::Post, Some(layer)) => {
                let ln2 = Hook::of(Point::Ln2, layer);
                Ok(Receiver(Site::at(site.position(), ln2)))
            }
            (
                Point::Z
                | Point::Q
                | Point::K
                | Point::V
                | Point::Ln1
                | Point::Ln2
                | Point::LnFinal,
                _,
            ) => Ok(Receiver(site)),
            _ => Err(EdgeError::NoReceiver { site }),
        }
    }

    /// The site whose value the edge determines.
    pub fn site(self) -> Site {
        self.0
    }

    /// The residual stream that it reads, at its position.
    pub fn stream(self, shape: &Shape) -> Site {
        let point = match self.0.point() {
            Point::Ln2 => Point::ResidMid,
            Point::LnFinal => Point::ResidPost,
            _ => Point::ResidPre,
        };
        Site::at(self.0.position(), Hook::of(point, self.0.layer_in(shape)))
    }

    /// Whether `sender` is part of what it reads.
    fn reads(self, sender: &Sender) -> bool {
        let (from, to) = (sender.site.position(), self.0.position());
        let by_position = match self.0.point() {
            Point::Z => from <= to,
            _ => from == to,
        };
        let until = match (self.0.hook().layer(), self.0.point()) {
            (None, _) => (Some(usize::MAX), Point::LnFinal),
            (layer, Point::Ln2) => (layer, Point::ResidMid),
            (layer, _) => (layer, Point::ResidPre),
        };
        by_position && sender.written() <= until
    }
}

/// What one site adds to what another reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    from: Sender,
    to: Receiver,
}

impl Edge {
    /// # Errors
    /// [`EdgeError::Apart`] if the receiver does not read what the sender adds.
    pub fn new(from: Sender, to: Receiver) -> Result<Self, EdgeError> {
        match to.reads(&from) {
            true => Ok(Edge { from, to }),
            false => Err(EdgeError::Apart {
                from: from.to_string(),
                to: to.to_string(),
            }),
        }
    }

    pub fn from(&self) -> &Sender {
        &self.from
    }

    pub fn to(&self) -> Receiver {
        self.to
    }

    /// Checks that a network of this shape has both ends.
    ///
    /// # Errors
    /// [`SiteError::Outside`].
    pub fn check(&self, shape: &Shape) -> Result<(), SiteError> {
        self.from.site.check(shape)?;
        self.to.0.check(shape)
    }
}

impl fmt::Display for Sender {
    /// Writes a head or an MLP as a node, the positions that a head reads at as `P15L1H2<P5+P11`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_by_node(self.site, f)?;
        for (i, key) in self.keys.iter().enumerate() {
            write!(f, "{}P{key}", if i == 0 { '<' } else { '+' })?;
        }
        Ok(())
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_by_node(self.0, f)
    }
}

/// Writes what a node adds or reads as the node.
fn write_by_node(site: Site, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (position, layer) = (site.position(), site.hook().layer().unwrap_or(0));
    match (site.point(), site.head()) {
        (Point::Result, Some(head)) => write!(f, "P{position}L{layer}H{head}"),
        (Point::MlpOut | Point::Ln2, _) => write!(f, "P{position}L{layer}M0"),
        _ => write!(f, "{site}"),
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)
    }
}

impl FromStr for Sender {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        let Some((site, keys)) = text.split_once('<') else {
            return Sender::new(text.parse()?);
        };
        let key = |key: &str| {
            let digits = key.strip_prefix('P')?;
            let is_number = digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten()
        };
        let keys: Option<Vec<usize>> = keys.split('+').map(key).collect();
        let malformed = || EdgeError::Malformed { text: text.into() };
        Sender::new(site.parse()?)?.reading_at(keys.ok_or_else(malformed)?)
    }
}

impl FromStr for Edge {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        let (from, to) = text
            .split_once("->")
            .ok_or_else(|| EdgeError::Malformed { text: text.into() })?;
        Edge::new(from.trim().parse()?, Receiver::new(to.trim().parse()?)?)
    }
}

text_form!(Edge);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn edge(text: &str) -> Edge {
        text.parse().unwrap()
    }

    #[test]
    fn edges_round_trip() {
        for text in [
            "P15L1H2 -> P15L1M0",
            "P15L1H2<P11 -> P15L1M0",
            "P15L1H2<P3+P8 -> P15.ln_final",
            "P14L0M0 -> P14L1H2.q",
            "P3.embed -> P15L1H2",
            "P3L0 -> P3L1.ln1",
            "P15L1.resid_pre -> P15L1M0",
            "P15L1.attn_out -> P15L1M0",
        ] {
            assert_eq!(edge(text).to_string(), text);
        }
        assert_eq!(
            edge("P15L1H2.result->P15L1.ln2"),
            edge("P15L1H2 -> P15L1MLP")
        );
        assert_eq!(
            edge("P9L1H2<P8+P3+P8 -> P9L1M0"),
            edge("P9L1H2<P3+P8 -> P9L1M0")
        );
    }

    #[test]
    fn what_is_no_edge_is_refused() {
        for (text, problem) in [
            ("P15L1H2", "\"P15L1H2\" is no edge: expected one such as"),
            (
                "P15L1H2.q -> P15L1M0",
                "P15L1H2.q adds nothing to the residual stream",
            ),
            (
                "P15L1H2[0:4] -> P15L1M0",
                "P15L1H2[0:4] adds nothing to the residual stream",
            ),
            (
                "P15L0H2 -> P15L1",
                "P15L1 does not read the residual stream",
            ),
            (
                "P15L1M0 -> P15L1M0",
                "P15L1M0 adds nothing to what P15L1M0 reads",
            ),
            (
                "P15L1H2 -> P15L1H0",
                "P15L1H2 adds nothing to what P15L1H0 reads",
            ),
            (
                "P14L0H2 -> P15L1M0",
                "P14L0H2 adds nothing to what P15L1M0 reads",
            ),
            (
                "P16L0H2 -> P15L1H0",
                "P16L0H2 adds nothing to what P15L1H0 reads",
            ),
            (
                "P15L1.resid_mid -> P15L1H0.q",
                "P15L1.resid_mid adds nothing to what P15L1H0.q reads",
            ),
            (
                "P15L1H2<P16 -> P15L1M0",
                "P15L1H2.result does not attend to P16",
            ),
            (
                "P15L1.attn_out<P3 -> P15L1M0",
                "P15L1.attn_out does not attend to P3",
            ),
            ("P15L1H2<3 -> P15L1M0", "\"P15L1H2<3\" is no edge"),
        ] {
            let error = text.parse::<Edge>().unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }

    proptest! {
        #[test]
        fn an_edge_between_any_two_sites_round_trips_or_is_refused(
            points in (select(&Point::ALL[..]), select(&Point::ALL[..])),
            layers in (0..3usize, 0..3usize),
            positions in (0..20usize, 0..20usize),
            keys in prop::collection::vec(0..20usize, 0..3),
        ) {
            let site = |point: Point, layer, position| {
                let hook = match point {
                    Point::Embed => Hook::EMBED,
                    Point::PosEmbed => Hook::POS_EMBED,
                    Point::LnFinal => Hook::LN_FINAL,
                    point => Hook::of(point, layer),
                };
                match point.is_of_head() {
                    true => Site::of_head(position, hook, 1),
                    false => Site::at(position, hook),
                }
            };
            let from = Sender::new(site(points.0, layers.0, positions.0));
            let from = from.and_then(|from| from.reading_at(keys));
            let to = Receiver::new(site(points.1, layers.1, positions.1));
            if let (Ok(from), Ok(to)) = (from, to)
                && let Ok(edge) = Edge::new(from, to)
            {
                prop_assert_eq!(edge.to_string().parse::<Edge>().unwrap(), edge);
            }
        }
    }
}
