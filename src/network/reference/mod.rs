//! The network, written as plainly as its definition: the forward pass that the engine is compared
//! with.
//!
//! It computes what TransformerLens' `HookedTransformer` computes with these weights: all positions
//! and all layers in every pass, on the CPU, in f32 or, without its rounding, in f64.

mod block;
mod hooks;

use std::collections::HashMap;

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::{Embedding, Linear, VarBuilder};

use self::block::{Block, LayerNorm, linear};
use self::hooks::Hooks;
use super::engine::Intervention;
use super::logits::AnswerLogits;
use crate::domain::arithmetic::Prompt;
use crate::domain::shape::{D_VOCAB, Shape};
use crate::domain::site::{Hook, Site};
use crate::inputs::model::Weights;

/// A network that reads prompts and predicts the tokens of their answers.
#[derive(Debug)]
pub struct Network {
    token_embedding: Embedding,
    /// `[n_ctx, d_model]`
    position_embedding: Tensor,
    blocks: Vec<Block>,
    ln_final: LayerNorm,
    unembed: Linear,
    shape: Shape,
}

impl Network {
    /// The network with these weights, in f32.
    ///
    /// # Errors
    /// If candle rejects a tensor, which should not happen for valid [`Weights`].
    pub fn load(weights: &Weights) -> Result<Self> {
        Self::load_as(weights, DType::F32)
    }

    /// The same in f64: what implementations in f32 lie around. Values are read and written as f32.
    ///
    /// # Errors
    /// As [`Network::load`].
    pub fn exact(weights: &Weights) -> Result<Self> {
        Self::load_as(weights, DType::F64)
    }

    fn load_as(weights: &Weights, dtype: DType) -> Result<Self> {
        let shape = weights.shape();
        let device = Device::Cpu;
        let tensors = weights
            .iter()
            .map(|(name, array)| {
                let tensor = Tensor::from_slice(array.data(), array.shape(), &device)?;
                Ok((name.to_owned(), tensor))
            })
            .collect::<Result<HashMap<_, _>>>()?;
        let vb = VarBuilder::from_tensors(tensors, dtype, &device);

        let d_model = shape.d_model;
        let blocks = (0..shape.n_layers)
            .map(|layer| Block::load(vb.pp("blocks").pp(layer), &shape, layer))
            .collect::<Result<_>>()?;
        Ok(Network {
            token_embedding: Embedding::new(vb.get((D_VOCAB, d_model), "embed.W_E")?, d_model),
            position_embedding: vb.get((shape.n_ctx(), d_model), "pos_embed.W_pos")?,
            blocks,
            ln_final: LayerNorm::load(vb.pp("ln_final"), d_model)?,
            unembed: linear(
                vb.get((d_model, D_VOCAB), "unembed.W_U")?,
                vb.get(D_VOCAB, "unembed.b_U")?,
            )?,
            shape,
        })
    }

    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The logits of each prompt's answer tokens. `interventions` holds one for each prompt, which
    /// may be empty, or none at all.
    ///
    /// # Errors
    /// If there are more or fewer interventions than prompts, an overwrite has no site in this
    /// network or the wrong width, or a prompt does not have this network's number of digits.
    pub fn forward(
        &self,
        prompts: &[Prompt],
        interventions: &[Intervention],
    ) -> Result<Vec<AnswerLogits>> {
        if !interventions.is_empty() && interventions.len() != prompts.len() {
            bail!(
                "{} interventions for {} prompts",
                interventions.len(),
                prompts.len()
            );
        }
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let mut hooks = Hooks::applying(self.shape, interventions);
        let logits = self.run(prompts, &mut hooks)?;
        hooks.finish()?;
        let logits = logits.to_dtype(DType::F32)?.to_vec3()?;
        Ok(logits.iter().map(|l| answer_logits(l)).collect())
    }

    /// The activations at `sites` for each prompt: `[prompt][site][width]`, with each site's own
    /// [width](Site::width).
    ///
    /// # Errors
    /// If this network has no such site, or a prompt does not have its number of digits.
    pub fn read(&self, prompts: &[Prompt], sites: &[Site]) -> Result<Vec<Vec<Vec<f32>>>> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let mut hooks = Hooks::none(self.shape).also_reading(sites, prompts.len());
        self.run(prompts, &mut hooks)?;
        Ok(hooks.finish()?.sites)
    }

    /// As [`Network::read`], with each prompt run with its intervention. An overwritten site gives
    /// the overwriting value.
    ///
    /// # Errors
    /// As [`Network::read`] and [`Network::forward`].
    pub fn read_under(
        &self,
        prompts: &[Prompt],
        interventions: &[Intervention],
        sites: &[Site],
    ) -> Result<Vec<Vec<Vec<f32>>>> {
        let mut hooks =
            Hooks::applying(self.shape, interventions).also_reading(sites, prompts.len());
        self.run(prompts, &mut hooks)?;
        Ok(hooks.finish()?.sites)
    }

    /// The attention weights of each layer (`hook_pattern`): `[batch, h, n_ctx, n_ctx]`, from the
    /// query position (rows) to the source position (columns).
    ///
    /// # Errors
    /// If there are no prompts, or one does not have this network's number of digits.
    pub fn attention(&self, prompts: &[Prompt]) -> Result<Vec<Tensor>> {
        if prompts.is_empty() {
            bail!("no prompts to take the attention weights of");
        }
        let mut hooks = Hooks::none(self.shape);
        self.run(prompts, &mut hooks)?;
        Ok(hooks.finish()?.patterns)
    }

    /// `[batch, n_answer, D_VOCAB]`: the logits at the positions that predict an answer token.
    fn run(&self, prompts: &[Prompt], hooks: &mut Hooks) -> Result<Tensor> {
        let tokens = self.tokens(prompts)?;
        let embed = hooks.at(Hook::EMBED, self.token_embedding.forward(&tokens)?)?;
        let positions = self.position_embedding.broadcast_as(embed.shape())?;
        let mut x = (embed + hooks.at(Hook::POS_EMBED, positions)?)?;
        for block in &self.blocks {
            x = block.forward(&x, hooks)?;
        }
        let x = hooks.at(Hook::LN_FINAL, self.ln_final.forward(&x)?)?;
        let predicting = x
            .narrow(1, self.shape.first_answer_position(), self.shape.n_answer())?
            .contiguous()?;
        self.unembed.forward(&predicting)
    }

    /// `[batch, n_ctx]`
    fn tokens(&self, prompts: &[Prompt]) -> Result<Tensor> {
        let n_digits = self.shape.n_digits;
        let mut tokens = Vec::with_capacity(prompts.len() * self.shape.n_ctx());
        for prompt in prompts {
            if prompt.question.n_digits() != n_digits || prompt.forced.n_digits() != n_digits {
                bail!("{prompt}: the network reads questions of {n_digits} digits");
            }
            tokens.extend(prompt.tokens().into_iter().map(u32::from));
        }
        Tensor::from_vec(tokens, (prompts.len(), self.shape.n_ctx()), &Device::Cpu)
    }
}

/// The logits of one prompt, `[n_answer][D_VOCAB]`.
fn answer_logits(rows: &[Vec<f32>]) -> AnswerLogits {
    let mut logits = AnswerLogits::zeros(rows.len());
    for (index, row) in rows.iter().enumerate() {
        logits.set(index, std::array::from_fn(|token| row[token]));
    }
    logits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arithmetic::{Operation, Question};
    use crate::domain::node::Node;
    use crate::network::engine::{Overwrite, Source};

    const SHAPE: Shape = Shape {
        n_digits: 3,
        n_layers: 2,
        n_heads: 3,
        d_model: 24,
        d_head: 10,
        d_mlp: 40,
    };

    /// Tolerance for floats computed with differently grouped sums.
    const TOLERANCE: f32 = 1e-5;

    fn network() -> Network {
        Network::load(&Weights::random(SHAPE, 1)).unwrap()
    }

    fn prompt(first: u128, second: u128) -> Prompt {
        Question::new(first, Operation::Add, second, SHAPE.n_digits).into()
    }

    fn prompts() -> Vec<Prompt> {
        vec![prompt(123, 456), prompt(999, 1), prompt(500, 505)]
    }

    /// Every node and every site of the residual stream.
    fn sites() -> Vec<Site> {
        let residual = (0..SHAPE.n_ctx()).flat_map(|position| {
            (0..SHAPE.n_layers).map(move |layer| Site::resid_post(position, layer))
        });
        let nodes = Node::all(&SHAPE).into_iter().map(Site::from);
        nodes.chain(residual).collect()
    }

    fn overwrite(site: Site, value: &[f32]) -> Overwrite<'_> {
        Overwrite {
            site,
            source: Source::Stored,
            value,
        }
    }

    fn largest_difference(left: &[AnswerLogits], right: &[AnswerLogits]) -> f32 {
        assert_eq!(left.len(), right.len());
        left.iter()
            .zip(right)
            .flat_map(|(l, r)| l.rows().as_flattened().iter().zip(r.rows().as_flattened()))
            .map(|(l, r)| (l - r).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn overwriting_an_activation_by_itself_changes_nothing() {
        let (network, prompts, sites) = (network(), prompts(), sites());
        let plain = network.forward(&prompts, &[]).unwrap();
        let own = network.read(&prompts, &sites).unwrap();
        for (index, &site) in sites.iter().enumerate() {
            let each = own
                .iter()
                .map(|read| Intervention::new([overwrite(site, &read[index])]));
            let logits = network
                .forward(&prompts, &each.collect::<Vec<_>>())
                .unwrap();
            assert!(largest_difference(&plain, &logits) < TOLERANCE, "{site}");
        }
        let all_at_once: Vec<_> = own
            .iter()
            .map(|read| {
                Intervention::new(sites.iter().zip(read).map(|(&site, v)| overwrite(site, v)))
            })
            .collect();
        let logits = network.forward(&prompts, &all_at_once).unwrap();
        assert!(largest_difference(&plain, &logits) < TOLERANCE);
    }

    #[test]
    fn empty_interventions_change_no_bit_and_leave_nothing_behind() {
        let (network, prompts) = (network(), prompts());
        let plain = network.forward(&prompts, &[]).unwrap();
        let ones = vec![1.0; SHAPE.d_model];
        let site = Site::resid_post(8, 0);
        let patch = vec![Intervention::new([overwrite(site, &ones)]); prompts.len()];
        assert_ne!(network.forward(&prompts, &patch).unwrap(), plain);
        let empty = vec![Intervention::default(); prompts.len()];
        assert_eq!(network.forward(&prompts, &empty).unwrap(), plain);
    }

    #[test]
    fn a_batch_gives_what_its_questions_give_alone() {
        let (network, prompts) = (network(), prompts());
        let ones = vec![1.0; SHAPE.d_model];
        // A different intervention in each row; the last row has none.
        let interventions: Vec<_> =
            [Some((7, 0)), Some((9, 1)), None]
                .into_iter()
                .map(|place| {
                    Intervention::new(place.map(|(position, layer)| {
                        overwrite(Site::resid_post(position, layer), &ones)
                    }))
                })
                .collect();
        let batch = network.forward(&prompts, &interventions).unwrap();
        let alone: Vec<_> = prompts
            .iter()
            .zip(&interventions)
            .flat_map(|(&p, i)| network.forward(&[p], std::slice::from_ref(i)).unwrap())
            .collect();
        assert!(largest_difference(&batch, &alone) < TOLERANCE);

        let sites = sites();
        let together = network.read(&prompts, &sites).unwrap();
        for (prompt, read) in prompts.iter().zip(together) {
            let alone = network.read(&[*prompt], &sites).unwrap().remove(0);
            for ((left, right), site) in read.iter().zip(&alone).zip(&sites) {
                assert_eq!(left.len(), site.width(&SHAPE));
                assert!(
                    left.iter()
                        .zip(right)
                        .all(|(l, r)| (l - r).abs() < TOLERANCE),
                    "{site}"
                );
            }
        }
    }

    #[test]
    fn a_patch_never_changes_a_prediction_before_its_position() {
        let network = network();
        let (base, source) = (prompt(123, 456), prompt(999, 1));
        let sites = sites();
        let stored = network.read(&[source], &sites).unwrap().remove(0);
        let plain = network.forward(&[base], &[]).unwrap().remove(0);
        let mut changed = 0;
        for (&site, value) in sites.iter().zip(&stored) {
            let patch = Intervention::new([overwrite(site, value)]);
            let logits = network.forward(&[base], &[patch]).unwrap().remove(0);
            let before = site
                .position()
                .saturating_sub(SHAPE.first_answer_position())
                .min(SHAPE.n_answer());
            assert_eq!(logits.rows()[..before], plain.rows()[..before], "{site}");
            changed += usize::from(logits != plain);
            assert!(
                logits == plain || site.reaches_an_answer(&SHAPE),
                "{site} was said to reach no answer token"
            );
        }
        assert!(changed > 0);
    }

    #[test]
    fn attention_weights_are_causal_and_sum_to_one() {
        let patterns = network().attention(&prompts()).unwrap();
        assert_eq!(patterns.len(), SHAPE.n_layers);
        let n_ctx = SHAPE.n_ctx();
        for pattern in patterns {
            assert_eq!(pattern.dims(), [3, SHAPE.n_heads, n_ctx, n_ctx]);
            let rows = pattern.flatten_to(2).unwrap().to_vec2::<f32>().unwrap();
            for (query, row) in (0..n_ctx).cycle().zip(rows) {
                assert!(row[query + 1..].iter().all(|&weight| weight == 0.0));
                assert!((row.iter().sum::<f32>() - 1.0).abs() < TOLERANCE);
            }
        }
    }

    #[test]
    fn an_overwrite_that_cannot_fire_is_an_error() {
        let network = network();
        let larger = Shape {
            n_digits: 4,
            n_layers: 3,
            n_heads: 4,
            ..SHAPE
        };
        for name in ["P15L0H0", "P3L2M0", "P3L0H3"] {
            let node = name.parse::<crate::domain::node::NodeName>().unwrap();
            let site = Site::from(node.resolve(&larger).unwrap());
            let value = vec![0.0; site.width(&larger)];
            let patch = Intervention::new([overwrite(site, &value)]);
            let error = network.forward(&[prompt(1, 2)], &[patch]).unwrap_err();
            assert_eq!(
                message(error),
                format!("{site} of prompt 0 was never overwritten: the network has no such site")
            );
            let error = network.read(&[prompt(1, 2)], &[site]).unwrap_err();
            assert_eq!(
                message(error),
                format!("{site} was never read: the network has no such site")
            );
        }
    }

    #[test]
    fn a_value_of_another_width_is_an_error() {
        let site = Site::resid_post(2, 1);
        let patch = Intervention::new([overwrite(site, &[0.0; 3])]);
        let error = network().forward(&[prompt(1, 2)], &[patch]).unwrap_err();
        assert_eq!(message(error), "P2L1: overwritten by 3 values, expected 24");
    }

    #[test]
    fn interventions_must_be_as_many_as_prompts() {
        let one = [Intervention::default()];
        let error = network().forward(&prompts(), &one).unwrap_err();
        assert_eq!(message(error), "1 interventions for 3 prompts");
    }

    #[test]
    fn a_question_of_another_size_is_an_error() {
        let prompt = Question::new(1, Operation::Add, 2, 4).into();
        let error = network().forward(&[prompt], &[]).unwrap_err();
        assert_eq!(
            message(error),
            "0001+0002=+00003: the network reads questions of 3 digits"
        );
    }

    #[test]
    fn no_prompts_give_no_logits() {
        assert!(network().forward(&[], &[]).unwrap().is_empty());
        assert!(network().read(&[], &sites()).unwrap().is_empty());
    }

    /// An error's first line; a backtrace may follow.
    fn message(error: candle_core::Error) -> String {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().to_owned()
    }
}
