//! Activations at a hook point, at every token position, as arrays with named dimensions.

use super::{Engine, EngineError};
use crate::domain::arithmetic::Prompt;
use crate::domain::site::{Hook, Point};

/// Activations of a batch of prompts at a hook point, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct HookActivations {
    pub values: Vec<f32>,
    pub dims: Vec<usize>,
    /// What each dimension is.
    pub names: Vec<&'static str>,
}

impl Engine {
    /// The activations of unpatched prompts, teacher-forced, at a hook point, with the dimensions that
    /// [`Point`] gives. Attention to later positions is 0.
    ///
    /// # Errors
    /// As [`Engine::activations`].
    pub fn at_hook(&self, hook: Hook, prompts: &[Prompt]) -> Result<HookActivations, EngineError> {
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
        Ok(HookActivations {
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
        let read = |hook: &str| engine.at_hook(hook.parse().unwrap(), &prompts);
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
        let site: Site = "P15L2H3.pattern".parse().unwrap();
        let value = engine.activations(&prompts, [site]).unwrap();
        let row = &pattern.values[((4 + 3) * 19 + 15) * 19..][..19];
        assert_eq!(row[..16], *value.get(1, site));
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
