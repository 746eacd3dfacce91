//! Sites: the activations of a network that can be read and replaced, under TransformerLens' names
//! and under short ones.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;

use super::node::{Component, Node, NodeName};
use super::shape::Shape;
use super::text::text_form;

/// Errors in the name of a site or a hook.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SiteError {
    /// Text that is not the name of a hook.
    #[error("{text:?} is no hook: expected one such as blocks.0.attn.hook_z")]
    Hook { text: String },
    /// Text that is not the name of a site.
    #[error(
        "{text:?} is no site: expected one such as P12L0H1 (a head), P14L1M0 (an MLP), P15L0 (the stream \
         after a layer), P15L0.resid_mid or blocks.0.attn.hook_q[15][2]"
    )]
    Malformed { text: String },
    /// A site without its head, or with a head that its hook does not have.
    #[error("{text:?} {}", head_problem(.takes_head))]
    Head { text: String, takes_head: bool },
    /// A site that the model does not have.
    #[error("site {site} is {what} {found}, the model has {what}s 0 to {last}")]
    Outside {
        site: Site,
        what: &'static str,
        found: usize,
        last: usize,
    },
}

fn head_problem(takes_head: &bool) -> &'static str {
    match takes_head {
        true => "names no head: each head has its own",
        false => "names a head: there is one for all heads",
    }
}

/// A place in the computation of a layer, or before the first or after the last, in the order of the
/// computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// `hook_embed`: the token's embedding, `[batch, n_ctx, d_model]`.
    Embed,
    /// `hook_pos_embed`: the position's embedding, `[batch, n_ctx, d_model]`.
    PosEmbed,
    /// `hook_resid_pre`: the residual stream entering the layer, `[batch, n_ctx, d_model]`.
    ResidPre,
    /// `ln1.hook_normalized`: what attention reads, after weight and bias, `[batch, n_ctx, d_model]`.
    Ln1,
    /// `attn.hook_q`: `[batch, n_ctx, h, d_head]`.
    Q,
    /// `attn.hook_k`: `[batch, n_ctx, h, d_head]`.
    K,
    /// `attn.hook_v`: `[batch, n_ctx, h, d_head]`.
    V,
    /// `attn.hook_pattern`: attention weights, `[batch, h, n_ctx, n_ctx]`; at a query position p, the
    /// weights of positions 0 to p.
    Pattern,
    /// `attn.hook_z`: the heads' results before W_O, `[batch, n_ctx, h, d_head]`.
    Z,
    /// `attn.hook_result`: what each head adds to the stream, `[batch, n_ctx, h, d_model]`.
    Result,
    /// `hook_attn_out`: what attention adds to the stream, with its bias, `[batch, n_ctx, d_model]`.
    AttnOut,
    /// `hook_resid_mid`: the residual stream between attention and MLP, `[batch, n_ctx, d_model]`.
    ResidMid,
    /// `ln2.hook_normalized`: what the MLP reads, `[batch, n_ctx, d_model]`.
    Ln2,
    /// `mlp.hook_pre`: the MLP's hidden layer before the ReLU, `[batch, n_ctx, d_mlp]`.
    Pre,
    /// `mlp.hook_post`: the same after the ReLU, `[batch, n_ctx, d_mlp]`.
    Post,
    /// `hook_mlp_out`: what the MLP adds to the stream, `[batch, n_ctx, d_model]`.
    MlpOut,
    /// `hook_resid_post`: the residual stream leaving the layer, `[batch, n_ctx, d_model]`.
    ResidPost,
    /// `ln_final.hook_normalized`: what the logits are read from, `[batch, n_ctx, d_model]`.
    LnFinal,
}

impl Point {
    pub const ALL: [Self; 18] = [
        Self::Embed,
        Self::PosEmbed,
        Self::ResidPre,
        Self::Ln1,
        Self::Q,
        Self::K,
        Self::V,
        Self::Pattern,
        Self::Z,
        Self::Result,
        Self::AttnOut,
        Self::ResidMid,
        Self::Ln2,
        Self::Pre,
        Self::Post,
        Self::MlpOut,
        Self::ResidPost,
        Self::LnFinal,
    ];

    /// TransformerLens' name, without the layer, and the short one.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Embed => ("hook_embed", "embed"),
            Self::PosEmbed => ("hook_pos_embed", "pos_embed"),
            Self::ResidPre => ("hook_resid_pre", "resid_pre"),
            Self::Ln1 => ("ln1.hook_normalized", "ln1"),
            Self::Q => ("attn.hook_q", "q"),
            Self::K => ("attn.hook_k", "k"),
            Self::V => ("attn.hook_v", "v"),
            Self::Pattern => ("attn.hook_pattern", "pattern"),
            Self::Z => ("attn.hook_z", "z"),
            Self::Result => ("attn.hook_result", "result"),
            Self::AttnOut => ("hook_attn_out", "attn_out"),
            Self::ResidMid => ("hook_resid_mid", "resid_mid"),
            Self::Ln2 => ("ln2.hook_normalized", "ln2"),
            Self::Pre => ("mlp.hook_pre", "pre"),
            Self::Post => ("mlp.hook_post", "post"),
            Self::MlpOut => ("hook_mlp_out", "mlp_out"),
            Self::ResidPost => ("hook_resid_post", "resid_post"),
            Self::LnFinal => ("ln_final.hook_normalized", "ln_final"),
        }
    }

    /// Whether it is in a layer rather than before or after all.
    pub const fn is_in_layer(self) -> bool {
        !matches!(self, Self::Embed | Self::PosEmbed | Self::LnFinal)
    }

    /// Whether each head has its own.
    pub const fn is_of_head(self) -> bool {
        matches!(
            self,
            Self::Q | Self::K | Self::V | Self::Pattern | Self::Z | Self::Result
        )
    }

    const fn is_of_mlp(self) -> bool {
        matches!(self, Self::Pre | Self::Post)
    }

    /// The last dimension of the activation.
    pub const fn width(self, shape: &Shape) -> usize {
        match self {
            Self::Q | Self::K | Self::V | Self::Z => shape.d_head,
            Self::Pattern => shape.n_ctx(),
            Self::Pre | Self::Post => shape.d_mlp,
            _ => shape.d_model,
        }
    }
}

/// A hook point: an activation at all positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hook {
    /// `None` for what is in no layer.
    layer: Option<usize>,
    point: Point,
}

impl Hook {
    /// A hook of a layer.
    ///
    /// # Panics
    /// If `point` is in no layer.
    pub const fn of(point: Point, layer: usize) -> Self {
        assert!(point.is_in_layer(), "it is in no layer");
        Hook {
            layer: Some(layer),
            point,
        }
    }

    pub const EMBED: Self = Self::outside(Point::Embed);
    pub const POS_EMBED: Self = Self::outside(Point::PosEmbed);
    pub const LN_FINAL: Self = Self::outside(Point::LnFinal);

    const fn outside(point: Point) -> Self {
        Hook { layer: None, point }
    }

    pub const fn point(self) -> Point {
        self.point
    }

    /// `None` for what is before the first layer or after the last.
    pub const fn layer(self) -> Option<usize> {
        self.layer
    }

    /// Every site of this hook in a model: by position, then by head.
    pub fn sites(self, shape: &Shape) -> Vec<Site> {
        let heads = match self.point.is_of_head() {
            true => (0..shape.n_heads).map(Some).collect(),
            false => vec![None],
        };
        let at = |position| {
            let heads = heads.iter();
            heads.map(move |&head| Site {
                position,
                hook: self,
                head,
                columns: None,
            })
        };
        (0..shape.n_ctx()).flat_map(at).collect()
    }
}

impl fmt::Display for Hook {
    /// Writes TransformerLens' name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layer) = self.layer {
            write!(f, "blocks.{layer}.")?;
        }
        f.write_str(self.point.names().0)
    }
}

impl FromStr for Hook {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        let malformed = || SiteError::Hook { text: text.into() };
        let (layer, name) = match text.strip_prefix("blocks.") {
            Some(rest) => {
                let (layer, name) = rest.split_once('.').ok_or_else(malformed)?;
                (Some(number(layer).ok_or_else(malformed)?), name)
            }
            None => (None, text),
        };
        let named = |point: &Point| point.names().0 == name;
        let point = Point::ALL.into_iter().find(named).ok_or_else(malformed)?;
        match point.is_in_layer() == layer.is_some() {
            true => Ok(Hook { layer, point }),
            false => Err(malformed()),
        }
    }
}

/// An activation at one position: of one head where each head has its own, and all of it or a slice of
/// its values.
///
/// Its order is that of nodes: by position, then by layer, heads before the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    position: usize,
    hook: Hook,
    head: Option<usize>,
    columns: Option<(usize, usize)>,
}

impl Site {
    /// An activation that all heads share.
    ///
    /// # Panics
    /// If each head has its own.
    pub const fn at(position: usize, hook: Hook) -> Self {
        assert!(!hook.point.is_of_head(), "each head has its own");
        Site {
            position,
            hook,
            head: None,
            columns: None,
        }
    }

    /// A head's own activation.
    ///
    /// # Panics
    /// If all heads share it.
    pub const fn of_head(position: usize, hook: Hook, head: usize) -> Self {
        assert!(hook.point.is_of_head(), "there is one for all heads");
        Site {
            position,
            hook,
            head: Some(head),
            columns: None,
        }
    }

    /// `hook_resid_post`: the residual stream at a position after a layer.
    pub const fn resid_post(position: usize, layer: usize) -> Self {
        Self::at(position, Hook::of(Point::ResidPost, layer))
    }

    /// The same site, but only these of its values.
    ///
    /// # Panics
    /// If the range is empty.
    pub const fn slice(self, columns: Range<usize>) -> Self {
        assert!(columns.start < columns.end, "no values");
        Site {
            columns: Some((columns.start, columns.end)),
            ..self
        }
    }

    /// The same activation of another layer.
    ///
    /// # Panics
    /// If it is in no layer.
    pub const fn in_layer(self, layer: usize) -> Self {
        Site {
            hook: Hook::of(self.hook.point, layer),
            ..self
        }
    }

    /// Token position.
    pub const fn position(&self) -> usize {
        self.position
    }

    pub const fn hook(&self) -> Hook {
        self.hook
    }

    pub const fn point(&self) -> Point {
        self.hook.point
    }

    /// The head, where each has its own.
    pub const fn head(&self) -> Option<usize> {
        self.head
    }

    /// The layer that computes it: the first for embeddings, the last for `ln_final`.
    pub const fn layer_in(&self, shape: &Shape) -> usize {
        match (self.hook.layer, self.hook.point) {
            (Some(layer), _) => layer,
            (None, Point::LnFinal) => shape.n_layers - 1,
            (None, _) => 0,
        }
    }

    /// Number of values of the whole activation at one position (and head): of attention weights, those
    /// of the positions up to it.
    const fn whole_width(&self, shape: &Shape) -> usize {
        match self.hook.point {
            Point::Pattern => self.position + 1,
            point => point.width(shape),
        }
    }

    /// Which of the whole activation's values it is.
    pub fn columns(&self, shape: &Shape) -> Range<usize> {
        match self.columns {
            Some((start, end)) => start..end,
            None => 0..self.whole_width(shape),
        }
    }

    /// Where its values are in a row of its activation, with all heads side by side.
    pub fn part(&self, shape: &Shape) -> Range<usize> {
        let start = self.head.unwrap_or(0) * self.hook.point.width(shape);
        let columns = self.columns(shape);
        start + columns.start..start + columns.end
    }

    /// Whether it is a slice of its activation's values.
    pub const fn is_slice(&self) -> bool {
        self.columns.is_some()
    }

    /// Number of values.
    pub fn width(&self, shape: &Shape) -> usize {
        self.columns(shape).len()
    }

    /// Checks that a network of this shape has the site.
    ///
    /// # Errors
    /// [`SiteError::Outside`].
    pub fn check(&self, shape: &Shape) -> Result<(), SiteError> {
        let columns = self.columns(shape);
        let parts = [
            ("position", self.position, shape.n_ctx()),
            ("layer", self.hook.layer.unwrap_or(0), shape.n_layers),
            ("head", self.head.unwrap_or(0), shape.n_heads),
            ("value", columns.end - 1, self.whole_width(shape)),
        ];
        match parts.into_iter().find(|(_, found, count)| found >= count) {
            None => Ok(()),
            Some((what, found, count)) => Err(SiteError::Outside {
                site: *self,
                what,
                found,
                last: count - 1,
            }),
        }
    }

    /// Whether a network of this shape has the site.
    pub fn is_in(&self, shape: &Shape) -> bool {
        self.check(shape).is_ok()
    }

    /// Whether writing here can affect the logits of an answer token. It cannot at the last
    /// position, whose logits predict nothing, nor in the last layer before the answer, but for what
    /// later positions attend to.
    pub fn reaches_an_answer(&self, shape: &Shape) -> bool {
        let is_attended_to = match self.hook.point {
            Point::LnFinal => false,
            Point::Q => self.layer_in(shape) + 1 < shape.n_layers,
            point => self.layer_in(shape) + 1 < shape.n_layers || point < Point::Pattern,
        };
        let earliest = match is_attended_to {
            true => 0,
            false => shape.first_answer_position(),
        };
        (earliest..shape.n_ctx() - 1).contains(&self.position)
    }

    /// The node that this is, whole: a head's `hook_z` or the MLP's `hook_post`.
    pub fn node(&self) -> Option<NodeName> {
        let component = match (self.hook.point, self.columns) {
            (Point::Z, None) => Component::Head(self.head?),
            (Point::Post, None) => Component::Mlp(0),
            _ => return None,
        };
        Some(NodeName {
            position: self.position,
            layer: self.hook.layer?,
            component,
        })
    }

    /// TransformerLens' name, with the indices after the batch: `blocks.0.attn.hook_z[15][2]`.
    pub fn long(&self) -> String {
        let Site { position, hook, .. } = self;
        let mut text = match (self.hook.point, self.head) {
            (Point::Pattern, Some(head)) => format!("{hook}[{head}][{position}]"),
            (_, Some(head)) => format!("{hook}[{position}][{head}]"),
            (_, None) => format!("{hook}[{position}]"),
        };
        if let Some((start, end)) = self.columns {
            text.push_str(&format!("[{start}:{end}]"));
        }
        text
    }

    /// Reads what [`Site::long`] writes.
    fn read_long(text: &str) -> Result<Self, SiteError> {
        let malformed = || SiteError::Malformed { text: text.into() };
        let (name, indices) = text.split_once('[').ok_or_else(malformed)?;
        let hook: Hook = name.parse()?;
        let indices = indices.strip_suffix(']').ok_or_else(malformed)?;
        let mut indices: Vec<&str> = indices.split("][").collect();
        let columns = match indices.last() {
            Some(last) if last.contains(':') => {
                let columns = read_columns(last).ok_or_else(malformed)?;
                indices.pop();
                Some(columns)
            }
            _ => None,
        };
        let indices: Option<Vec<usize>> = indices.into_iter().map(number).collect();
        let (position, head) = match (&indices.ok_or_else(malformed)?[..], hook.point) {
            (&[head, position], Point::Pattern) => (position, Some(head)),
            (&[position, head], _) => (position, Some(head)),
            (&[position], _) => (position, None),
            _ => return Err(malformed()),
        };
        Self::checked(position, hook, head, columns, text)
    }

    /// Reads what its `Display` writes.
    fn read_short(text: &str) -> Result<Self, SiteError> {
        let malformed = || SiteError::Malformed { text: text.into() };
        let (place, columns) = match text.split_once('[') {
            None => (text, None),
            Some((place, columns)) => {
                let columns = columns.strip_suffix(']').and_then(read_columns);
                (place, Some(columns.ok_or_else(malformed)?))
            }
        };
        let (place, name) = match place.split_once('.') {
            None => (place, None),
            Some((place, name)) => {
                let named = |point: &Point| point.names().1 == name;
                let point = Point::ALL.into_iter().find(named);
                (place, Some(point.ok_or_else(malformed)?))
            }
        };
        let rest = place.strip_prefix('P').ok_or_else(malformed)?;
        let (position, rest) = match rest.split_once('L') {
            None => (rest, None),
            Some((position, rest)) => (position, Some(rest)),
        };
        let position = number(position).ok_or_else(malformed)?;
        let Some(rest) = rest else {
            let point = name.filter(|point| !point.is_in_layer());
            let hook = Hook::outside(point.ok_or_else(malformed)?);
            return Self::checked(position, hook, None, columns, text);
        };
        let (layer, part) = rest.split_at(rest.find(['H', 'M', 'R']).unwrap_or(rest.len()));
        let layer = number(layer).ok_or_else(malformed)?;
        let (default, head) = match part {
            "" | "RESID" => (Point::ResidPost, None),
            "M0" | "MLP" => (Point::Post, None),
            head => {
                let head = head.strip_prefix('H').and_then(number);
                (Point::Z, Some(head.ok_or_else(malformed)?))
            }
        };
        let point = name.unwrap_or(default);
        let fits = match part {
            "" => !point.is_of_mlp(),
            "M0" | "MLP" => point.is_of_mlp(),
            "RESID" => name.is_none(),
            _ => true,
        };
        if !fits || !point.is_in_layer() {
            return Err(malformed());
        }
        Self::checked(position, Hook::of(point, layer), head, columns, text)
    }

    fn checked(
        position: usize,
        hook: Hook,
        head: Option<usize>,
        columns: Option<(usize, usize)>,
        text: &str,
    ) -> Result<Self, SiteError> {
        let takes_head = hook.point.is_of_head();
        if takes_head != head.is_some() {
            return Err(SiteError::Head {
                text: text.into(),
                takes_head,
            });
        }
        Ok(Site {
            position,
            hook,
            head,
            columns,
        })
    }
}

/// A number in digits alone: `usize::from_str` also accepts a leading `+`.
fn number(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `start:end`, not empty.
fn read_columns(text: &str) -> Option<(usize, usize)> {
    let (start, end) = text.split_once(':')?;
    let (start, end) = (number(start)?, number(end)?);
    (start < end).then_some((start, end))
}

impl From<Node> for Site {
    fn from(node: Node) -> Self {
        let NodeName {
            position,
            layer,
            component,
        } = node.name();
        match component {
            Component::Head(head) => Site::of_head(position, Hook::of(Point::Z, layer), head),
            Component::Mlp(_) => Site::at(position, Hook::of(Point::Post, layer)),
        }
    }
}

impl fmt::Display for Site {
    /// Writes the short name: a node as such, `P15L0` for `hook_resid_post`, others as
    /// `P15L0.resid_mid`, `P15L0H2.q`, `P15L0M0.pre` and `P15.embed`, a slice as `P15L0M0[0:64]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.position)?;
        let point = self.hook.point;
        if let Some(layer) = self.hook.layer {
            write!(f, "L{layer}")?;
        }
        if let Some(head) = self.head {
            write!(f, "H{head}")?;
        }
        if point.is_of_mlp() {
            f.write_str("M0")?;
        }
        if !matches!(point, Point::Z | Point::Post | Point::ResidPost) {
            write!(f, ".{}", point.names().1)?;
        }
        match self.columns {
            Some((start, end)) => write!(f, "[{start}:{end}]"),
            None => Ok(()),
        }
    }
}

impl FromStr for Site {
    type Err = SiteError;

    /// Parses the short and the long name.
    fn from_str(text: &str) -> Result<Self, SiteError> {
        match text.starts_with('P') {
            true => Self::read_short(text),
            false => Self::read_long(text),
        }
    }
}

text_form!(Hook, Site);

/// What can be read of a run: a hook at every position, or a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Hook(Hook),
    Site(Site),
}

impl Activation {
    /// Its sites in a model.
    pub fn sites(&self, shape: &Shape) -> Vec<Site> {
        match self {
            Activation::Hook(hook) => hook.sites(shape),
            Activation::Site(site) => vec![*site],
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activation::Hook(hook) => hook.fmt(f),
            Activation::Site(site) => site.fmt(f),
        }
    }
}

impl FromStr for Activation {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        match text.parse() {
            Ok(hook) => Ok(Activation::Hook(hook)),
            Err(_) => text.parse().map(Activation::Site),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    const SHAPE: Shape = Shape::EXAMPLE;

    fn site(text: &str) -> Site {
        text.parse().unwrap()
    }

    #[test]
    fn a_site_has_a_short_name_and_transformer_lens_name() {
        for (short, long) in [
            ("P15L0H2", "blocks.0.attn.hook_z[15][2]"),
            ("P15L0H2.q", "blocks.0.attn.hook_q[15][2]"),
            ("P15L0H2.pattern", "blocks.0.attn.hook_pattern[2][15]"),
            (
                "P15L0H2.pattern[0:5]",
                "blocks.0.attn.hook_pattern[2][15][0:5]",
            ),
            ("P14L1M0[0:64]", "blocks.1.mlp.hook_post[14][0:64]"),
            ("P14L1M0.pre", "blocks.1.mlp.hook_pre[14]"),
            ("P15L0", "blocks.0.hook_resid_post[15]"),
            ("P15L0.resid_mid", "blocks.0.hook_resid_mid[15]"),
            ("P15L0.mlp_out", "blocks.0.hook_mlp_out[15]"),
            ("P15L0.ln1", "blocks.0.ln1.hook_normalized[15]"),
            ("P3.embed", "hook_embed[3]"),
            ("P3.pos_embed", "hook_pos_embed[3]"),
            ("P15.ln_final", "ln_final.hook_normalized[15]"),
        ] {
            assert_eq!(site(short).long(), long);
            assert_eq!(site(long).to_string(), short);
        }
    }

    #[test]
    fn other_spellings_are_read() {
        assert_eq!(site("P15L0RESID"), site("P15L0"));
        assert_eq!(site("P15L0.resid_post"), site("P15L0"));
        assert_eq!(site("P15L0MLP"), site("P15L0M0.post"));
        assert_eq!(site("P06L0H2.z"), site("P6L0H2"));
    }

    #[test]
    fn text_that_is_no_site_is_refused() {
        for text in [
            "",
            "P",
            "P1",
            "P1L",
            "PL0",
            "P1L0H",
            "P1L0M1",
            "P1.q",
            "P1.resid_pre",
            "P1L0.embed",
            "P1L0.pre",
            "P1L0M0.ln1",
            "P1L0[3:3]",
            "P1L0[3]",
            "P1L0[+1:3]",
            "P1L0 ",
            "P1L0X",
            "P1L0RESID.ln1",
            "blocks.0.attn.hook_z",
            "blocks.0.hook_resid_mid[1",
            "hook_embed[1][2][3]",
        ] {
            let error = text.parse::<Site>().unwrap_err();
            assert_eq!(error, SiteError::Malformed { text: text.into() }, "{text}");
        }
        for text in [
            "hook_z[1]",
            "blocks.x.hook_resid_mid[1]",
            "blocks.0.hook_embed[1]",
        ] {
            assert!(
                matches!(text.parse::<Site>(), Err(SiteError::Hook { .. })),
                "{text}"
            );
        }
        for (text, problem) in [
            ("P1L0.q", "names no head: each head has its own"),
            ("P1L0H1.ln1", "names a head: there is one for all heads"),
            (
                "blocks.0.hook_attn_out[1][2]",
                "names a head: there is one for all heads",
            ),
        ] {
            let error = text.parse::<Site>().unwrap_err();
            assert_eq!(error.to_string(), format!("{text:?} {problem}"));
        }
    }

    #[test]
    fn a_site_outside_the_model_is_refused_with_the_figure_and_the_bound() {
        for (text, problem) in [
            ("P19L0", "position 19, the model has positions 0 to 18"),
            ("P3L2.ln1", "layer 2, the model has layers 0 to 1"),
            ("P3L1H3.q", "head 3, the model has heads 0 to 2"),
            (
                "P3L1M0[500:505]",
                "value 504, the model has values 0 to 503",
            ),
            (
                "P3L1H0.pattern[0:5]",
                "value 4, the model has values 0 to 3",
            ),
        ] {
            let error = site(text).check(&SHAPE).unwrap_err().to_string();
            assert_eq!(error, format!("site {text} is {problem}"));
        }
    }

    #[test]
    fn a_node_is_the_site_of_its_name() {
        for node in Node::all(&SHAPE) {
            let site = Site::from(node);
            assert_eq!(site.node(), Some(node.name()));
            assert_eq!(site.to_string(), node.to_string());
            assert_eq!(site, self::site(&node.to_string()));
        }
        let nodes = Node::all(&SHAPE);
        assert!(nodes.into_iter().map(Site::from).is_sorted());
        assert_eq!(site("P3L0").node(), None);
        assert_eq!(site("P3L0H1[0:4]").node(), None);
    }

    #[test]
    fn a_hook_has_a_site_for_each_position_and_head() {
        let count = |text: &str| text.parse::<Hook>().unwrap().sites(&SHAPE).len();
        assert_eq!(count("hook_embed"), 19);
        assert_eq!(count("blocks.1.hook_mlp_out"), 19);
        assert_eq!(count("blocks.1.attn.hook_k"), 57);
    }

    #[test]
    fn what_later_positions_attend_to_reaches_an_answer_from_the_last_layer() {
        let reaches = |text: &str| site(text).reaches_an_answer(&SHAPE);
        assert!(reaches("P3L0H1.q") && reaches("P3L1H1.k") && reaches("P3L1.ln1"));
        assert!(reaches("P3.embed") && reaches("P12.ln_final") && reaches("P12L1H0.q"));
        assert!(!reaches("P3L1H1.q") && !reaches("P3L1H1.pattern") && !reaches("P3L1.resid_mid"));
        assert!(!reaches("P3.ln_final") && !reaches("P18.embed") && !reaches("P18L1H1.k"));
    }

    fn sites() -> impl Strategy<Value = Site> {
        let columns = prop::option::of((0..600usize, 1..600usize));
        (
            select(&Point::ALL[..]),
            0..200usize,
            0..20usize,
            0..20usize,
            columns,
        )
            .prop_map(|(point, position, layer, head, columns)| {
                let hook = match point.is_in_layer() {
                    true => Hook::of(point, layer),
                    false => Hook::outside(point),
                };
                let site = match point.is_of_head() {
                    true => Site::of_head(position, hook, head),
                    false => Site::at(position, hook),
                };
                match columns {
                    Some((start, length)) => site.slice(start..start + length),
                    None => site,
                }
            })
    }

    proptest! {
        #[test]
        fn both_names_round_trip(site in sites()) {
            prop_assert_eq!(site.to_string().parse::<Site>().unwrap(), site);
            prop_assert_eq!(site.long().parse::<Site>().unwrap(), site);
            prop_assert_eq!(site.hook().to_string().parse::<Hook>().unwrap(), site.hook());
        }
    }
}
