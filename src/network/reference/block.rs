//! One layer of the network: attention, MLP, and the residual stream around them.

use candle_core::{D, Device, Module, Result, Tensor};
use candle_nn::ops::{layer_norm_slow, softmax_last_dim};
use candle_nn::{Linear, VarBuilder};

use super::hooks::Hooks;
use crate::domain::shape::Shape;
use crate::domain::site::{Hook, Point};

/// Epsilon of every layer norm: TransformerLens' default, used by all published models.
const LAYER_NORM_EPS: f32 = 1e-5;

/// Layer norm with weight and bias.
#[derive(Debug)]
pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    pub(super) fn load(vb: VarBuilder, d_model: usize) -> Result<Self> {
        Ok(LayerNorm {
            weight: vb.get(d_model, "w")?,
            bias: vb.get(d_model, "b")?,
        })
    }

    /// `[batch, n_ctx, d_model]` to the same.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // candle's fast kernel computes the variance as the mean square minus the squared mean,
        // which cancels: at d_model 510 its logits were up to 9.5e-5 from TransformerLens', and
        // those of this one, which subtracts the mean first, 5.8e-5.
        layer_norm_slow(x, &self.weight, &self.bias, LAYER_NORM_EPS)
    }
}

/// `x · weight + bias`, with `weight` `[in, out]` as in TransformerLens; candle stores the
/// transpose.
pub(super) fn linear(weight: Tensor, bias: Tensor) -> Result<Linear> {
    Ok(Linear::new(weight.t()?.contiguous()?, Some(bias)))
}

#[derive(Debug)]
struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// `[n_ctx, n_ctx]`: 0 where the query's row may see the key's column, otherwise −∞.
    mask: Tensor,
    layer: usize,
    n_heads: usize,
    d_head: usize,
}

impl SelfAttention {
    fn load(vb: VarBuilder, shape: &Shape, layer: usize) -> Result<Self> {
        let (n_heads, d_head, d_model) = (shape.n_heads, shape.d_head, shape.d_model);
        // The heads side by side: [h, d_model, d_head] becomes [d_model, h * d_head].
        let projection = |weight: &str, bias: &str| {
            let weight = vb.get((n_heads, d_model, d_head), weight)?;
            linear(
                weight
                    .transpose(0, 1)?
                    .reshape((d_model, shape.d_heads()))?,
                vb.get((n_heads, d_head), bias)?.flatten_all()?,
            )
        };
        let output = linear(
            vb.get((n_heads, d_head, d_model), "W_O")?
                .reshape((shape.d_heads(), d_model))?,
            vb.get(d_model, "b_O")?,
        )?;
        Ok(SelfAttention {
            query: projection("W_Q", "b_Q")?,
            key: projection("W_K", "b_K")?,
            value: projection("W_V", "b_V")?,
            output,
            mask: causal_mask(shape.n_ctx(), vb.device())?.to_dtype(vb.dtype())?,
            layer,
            n_heads,
            d_head,
        })
    }

    /// `[batch, n_ctx, d_model]` to the same.
    fn forward(&self, x: &Tensor, hooks: &mut Hooks) -> Result<Tensor> {
        let (batch, n_ctx, _d_model) = x.dims3()?;
        let heads =
            |projected: Tensor| projected.reshape((batch, n_ctx, self.n_heads, self.d_head));
        let mut at = |point, tensor| hooks.at(Hook::of(point, self.layer), tensor);
        let query = at(Point::Q, heads(self.query.forward(x)?)?)?;
        let key = at(Point::K, heads(self.key.forward(x)?)?)?;
        let value = at(Point::V, heads(self.value.forward(x)?)?)?;
        // From `[batch, n_ctx, h, d_head]` to `[batch, h, n_ctx, d_head]`.
        let by_head = |heads: Tensor| heads.transpose(1, 2)?.contiguous();
        let (query, key, value) = (by_head(query)?, by_head(key)?, by_head(value)?);

        let scores = (query.matmul(&key.t()?)? / (self.d_head as f64).sqrt())?;
        let pattern = softmax_last_dim(&scores.broadcast_add(&self.mask)?)?;
        hooks.keep_pattern(&pattern);
        let mut at = |point, tensor| hooks.at(Hook::of(point, self.layer), tensor);
        let pattern = at(Point::Pattern, pattern)?;

        let z = pattern.matmul(&value)?.transpose(1, 2)?.contiguous()?;
        let z = at(Point::Z, z)?;
        let out = self.output.forward(&z.flatten_from(D::Minus2)?)?;
        let out = match hooks.watch(Hook::of(Point::Result, self.layer)) {
            true => (out + self.change_of_results(&z, hooks)?)?,
            false => out,
        };
        hooks.at(Hook::of(Point::AttnOut, self.layer), out)
    }

    /// By how much what the heads add to the stream is changed by overwrites: zero without any.
    fn change_of_results(&self, z: &Tensor, hooks: &mut Hooks) -> Result<Tensor> {
        // candle stores the transpose of [h * d_head, d_model].
        let output = self.output.weight().t()?.contiguous()?;
        let results = (0..self.n_heads).map(|head| {
            let weight = output.narrow(0, head * self.d_head, self.d_head)?;
            let z = z.narrow(2, head, 1)?.contiguous()?;
            z.broadcast_matmul(&weight)
        });
        let results = Tensor::cat(&results.collect::<Result<Vec<_>>>()?, 2)?;
        let changed = hooks.at(Hook::of(Point::Result, self.layer), results.clone())?;
        (changed - results)?.sum(2)
    }
}

fn causal_mask(n_ctx: usize, device: &Device) -> Result<Tensor> {
    let mask: Vec<f32> = (0..n_ctx)
        .flat_map(|query| {
            (0..n_ctx).map(move |key| if key <= query { 0.0 } else { f32::NEG_INFINITY })
        })
        .collect();
    Tensor::from_vec(mask, (n_ctx, n_ctx), device)
}

/// Two linear maps with a ReLU between them.
#[derive(Debug)]
struct Mlp {
    input: Linear,
    output: Linear,
    layer: usize,
}

impl Mlp {
    fn load(vb: VarBuilder, shape: &Shape, layer: usize) -> Result<Self> {
        let (d_model, d_mlp) = (shape.d_model, shape.d_mlp);
        Ok(Mlp {
            input: linear(vb.get((d_model, d_mlp), "W_in")?, vb.get(d_mlp, "b_in")?)?,
            output: linear(
                vb.get((d_mlp, d_model), "W_out")?,
                vb.get(d_model, "b_out")?,
            )?,
            layer,
        })
    }

    /// `[batch, n_ctx, d_model]` to the same.
    fn forward(&self, x: &Tensor, hooks: &mut Hooks) -> Result<Tensor> {
        let mut at = |point, tensor| hooks.at(Hook::of(point, self.layer), tensor);
        let pre = at(Point::Pre, self.input.forward(x)?)?;
        let post = at(Point::Post, pre.relu()?)?;
        at(Point::MlpOut, self.output.forward(&post)?)
    }
}

/// One layer: attention and MLP, each reading the residual stream through a layer norm and adding
/// to it.
#[derive(Debug)]
pub(super) struct Block {
    ln1: LayerNorm,
    attention: SelfAttention,
    ln2: LayerNorm,
    mlp: Mlp,
    layer: usize,
}

impl Block {
    pub(super) fn load(vb: VarBuilder, shape: &Shape, layer: usize) -> Result<Self> {
        Ok(Block {
            ln1: LayerNorm::load(vb.pp("ln1"), shape.d_model)?,
            attention: SelfAttention::load(vb.pp("attn"), shape, layer)?,
            ln2: LayerNorm::load(vb.pp("ln2"), shape.d_model)?,
            mlp: Mlp::load(vb.pp("mlp"), shape, layer)?,
            layer,
        })
    }

    /// `[batch, n_ctx, d_model]` to the same.
    pub(super) fn forward(&self, x: &Tensor, hooks: &mut Hooks) -> Result<Tensor> {
        let hook = |point| Hook::of(point, self.layer);
        let x = hooks.at(hook(Point::ResidPre), x.clone())?;
        let normed = hooks.at(hook(Point::Ln1), self.ln1.forward(&x)?)?;
        let x = (&x + self.attention.forward(&normed, hooks)?)?;
        let x = hooks.at(hook(Point::ResidMid), x)?;
        let normed = hooks.at(hook(Point::Ln2), self.ln2.forward(&x)?)?;
        let x = (&x + self.mlp.forward(&normed, hooks)?)?;
        hooks.at(hook(Point::ResidPost), x)
    }
}
