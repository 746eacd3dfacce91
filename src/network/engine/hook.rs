//! Activations as arrays with named dimensions: at a hook point, at every token position, or at a site.

use super::{Engine, EngineError};
use crate::domain::arithmetic::Prompt;
use crate::domain::site::{Activation, Hook, Point, Site};

/// Activations of a batch of prompts, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationArray {
    pub values: Vec<f32>,
    pub dims: Vec<usize>,
    /// What each dimension is.
    pub names: Vec<&'static str>,
}

impl Engine {
    /// The activations of unpatched prompts, teacher-forced: of a hook, with the dimensions that [`Point`]
    /// gives, and 0 for the attention to later positions; of a site, `[prompts, width]`.
    ///
    /// # Errors
    /// As [`Engine::activations`].
    pub fn read(
        &self,
        activation: Activation,
        prompts: &[Prompt],
    ) -> Result<ActivationArray, EngineError> {
        match activation {
            Activation::Hook(hook) => self.at_hook(hook, prompts),
            Activation::Site(site) => self.at_site(site, prompts),
        }
    }

    fn at_site(&self, site: Site, prompts: &[Prompt]) -> Result<ActivationArray, EngineError> {
        let read = self.activations(prompts, [site])?;
        let rows = (0..prompts.len()).flat_map(|prompt| read.get(prompt, site));
        Ok(ActivationArray {
            values: rows.copied().collect(),
            dims: vec![prompts.len(), site.width(&self.shape())],
            names: vec!["question", "value"],
        })
    }

    fn at_hook(&self, hook: Hook, prompts: &[Prompt]) -> Result<ActivationArray, EngineError> {
        let shape = self.shape();
        let (point, n_ctx) = (hook.point(), shape.n_ctx());
        let width = point.width(&shape);
        let inner = match (point, point.is_of_head()) {
            (Point::Pattern, _) => vec![("head", shape.n_heads), ("query", n_ctx)],
            (_, true) => vec![("position", n_ctx), ("head", shape.n_heads)],
            (_, false) => vec![("position", n_ctx)],
        };
        let last = match point {
            Point::Pattern => "key",
            Point::Q | Point::K | Point::V | Point::Z => "d_head",
            Point::Pre | Point::Post => "d_mlp",
            _ => "d_model",
        };
        let dims = [
            vec![("question", prompts.len())],
            inner,
            vec![(last, width)],
        ]
        .concat();
        let (names, dims): (Vec<_>, Vec<usize>) = dims.into_iter().unzip();
        let sites = hook.sites(&shape);
        let read = self.activations(prompts, sites.iter().copied())?;
        let mut values = vec![0f32; dims.iter().product()];
        for (prompt, values) in values.chunks_exact_mut(sites.len() * width).enumerate() {
            for (index, &site) in sites.iter().enumerate() {
                // Attention weights are by head first.
                let index = match (point, site.head()) {
                    (Point::Pattern, Some(head)) => head * n_ctx + site.position(),
                    _ => index,
                };
                let value = read.get(prompt, site);
                values[index * width..][..value.len()].copy_from_slice(value);
            }
        }
        Ok(ActivationArray {
            values,
            dims,
            names,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site::Site;
    use crate::inputs::model::ModelFolder;

    #[test]
    fn every_hook_holds_what_its_sites_do() {
        let engine = Engine::new(&ModelFolder::bundled().weights);
        let prompts = ["12345+67890", "5-90"].map(|text| Prompt::parse(text, 5).unwrap());
        let read = |hook: &str| engine.read(hook.parse().unwrap(), &prompts);
        let z = read("blocks.1.attn.hook_z").unwrap();
        assert_eq!(z.names, ["question", "position", "head", "d_head"]);
        let [questions, positions, heads, width] = z.dims[..] else {
            panic!("{:?}", z.dims);
        };
        assert_eq!((questions, positions, heads), (2, 19, 4));
        let site: Site = "P15L1H2".parse().unwrap();
        let value = engine.activations(&prompts, [site]).unwrap();
        let at = ((positions + 15) * heads + 2) * width;
        assert_eq!(z.values[at..at + width], *value.get(1, site));

        let pattern = read("blocks.2.attn.hook_pattern").unwrap();
        assert_eq!(pattern.names, ["question", "head", "query", "key"]);
        assert_eq!(pattern.dims, [2, 4, 19, 19]);
        let row = &pattern.values[((4 + 3) * 19 + 15) * 19..][..19];
        let site = read("P15L2H3.pattern").unwrap();
        assert_eq!(
            (&site.dims[..], site.names),
            (&[2, 16][..], vec!["question", "value"])
        );
        assert_eq!(row[..16], site.values[16..]);
        assert_eq!(row[16..], [0.0; 3]);

        for (hook, dims) in [
            ("hook_embed", vec![2, 19, 126]),
            ("blocks.0.mlp.hook_post", vec![2, 19, 504]),
            ("blocks.0.hook_resid_post", vec![2, 19, 126]),
        ] {
            let read = read(hook).unwrap();
            assert_eq!(
                (read.values.len(), &read.dims),
                (dims.iter().product(), &dims)
            );
        }
        let error = read("blocks.3.attn.hook_z").unwrap_err().to_string();
        let text = "is layer 3, the model has layers 0 to 2";
        assert!(error.contains(text), "{error}");
    }
}
