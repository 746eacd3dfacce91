//! Tells the models in a repository's list of files, in either layout they are published in.

use std::collections::{BTreeMap, BTreeSet};

use super::address::is_name;
use crate::inputs::model::{FLAT_ENDINGS, FOLDER_FILES, WEIGHTS_FILES};

/// The files of one model, by their paths in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFiles {
    pub weights: String,
    pub training: Option<String>,
    pub features: Option<String>,
    pub behaviors: Option<String>,
}

impl PublishedFiles {
    /// The models, by their folder or the name of their flat files; `None` stands for the repository
    /// itself. Names that an [`super::Address`] cannot have are passed over.
    pub fn in_repository(files: &[String]) -> BTreeMap<Option<String>, Self> {
        let all: BTreeSet<&str> = files
            .iter()
            .map(String::as_str)
            .filter(|path| path.split('/').all(is_name))
            .collect();
        let existing = |path: String| all.contains(path.as_str()).then_some(path);
        let mut models = BTreeMap::new();
        for path in &all {
            let (folder, file) = match path.rsplit_once('/') {
                Some((folder, file)) => (Some(folder), file),
                None => (None, *path),
            };
            if WEIGHTS_FILES.contains(&file) {
                let within = |file: &str| match folder {
                    Some(folder) => existing(format!("{folder}/{file}")),
                    None => existing(file.to_owned()),
                };
                let [training, features, behaviors] = FOLDER_FILES.map(within);
                // Where there are both kinds of weights, the first is what was published.
                let weights = WEIGHTS_FILES.iter().find_map(|file| within(file));
                models.insert(
                    folder.map(str::to_owned),
                    Self {
                        weights: weights.unwrap_or_else(|| (*path).to_owned()),
                        training,
                        features,
                        behaviors,
                    },
                );
            } else if let Some(stem) = path
                .strip_suffix(".pth")
                .or_else(|| path.strip_suffix(".safetensors"))
            {
                let [training, features, behaviors] =
                    FLAT_ENDINGS.map(|ending| existing(format!("{stem}_{ending}.json")));
                models.entry(Some(stem.to_owned())).or_insert(Self {
                    weights: (*path).to_owned(),
                    training,
                    features,
                    behaviors,
                });
            }
        }
        models
    }

    /// Whether the model is flat files, and no folder.
    pub fn is_flat(&self) -> bool {
        let file = self.weights.rsplit('/').next();
        !file.is_some_and(|file| WEIGHTS_FILES.contains(&file))
    }

    pub fn files(&self) -> impl Iterator<Item = &String> {
        let others = [&self.training, &self.features, &self.behaviors];
        std::iter::once(&self.weights).chain(others.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_in_either_layout() {
        let files = [
            "README.md",
            "add/model.pth",
            "add/features.json",
            "sub/model.safetensors",
            "sub/model.pth",
            "sub/training_loss.json",
            "mix.pth",
            "mix_train.json",
            "mix_maths.json",
            "mix_behavior.json",
            "bad name/model.pth",
            "../model.pth",
            "empty/features.json",
        ]
        .map(str::to_owned);
        let models = PublishedFiles::in_repository(&files);
        let names: Vec<_> = models.keys().flatten().map(String::as_str).collect();
        assert_eq!(names, ["add", "mix", "sub"]);
        let of = |name: &str| &models[&Some(name.to_owned())];
        assert_eq!(of("sub").weights, "sub/model.pth");
        assert_eq!(of("add").files().count(), 2);
        assert_eq!(of("mix").features.as_deref(), Some("mix_maths.json"));
        assert!(of("mix").is_flat() && !of("add").is_flat());
        assert_eq!(of("mix").files().count(), 4);
    }

    #[test]
    fn a_repository_of_one_model_has_it_at_its_root() {
        let models = PublishedFiles::in_repository(&["model.pth".into(), "behaviors.json".into()]);
        assert_eq!(models[&None].behaviors.as_deref(), Some("behaviors.json"));
    }
}
