//! Models load, whole or not at all: one test per thing that can be wrong with their files.

mod counting;
mod torch_file;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use circuitcheck::domain::shape::Shape;
use circuitcheck::inputs::model::{
    Array, BUNDLED_NAME, LoadError, MAX_MODEL_FILE_BYTES, MAX_PICKLE_BYTES, ModelFolder,
    Operations, OperationsFrom, PickleError, PthError, SafetensorsError, Weights, read_pth,
    read_safetensors,
};
use counting::peak_memory;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, tensor::TensorView};
use tempfile::TempDir;
use torch_file::{
    PICKLE, View, archive, dict, floats, global, int, overlapping_archive, pickle, pth, state_dict,
    text, tuple,
};

// ---------------------------------------------------------------- what the tests load

const SMALL: Shape = Shape {
    n_digits: 5,
    n_layers: 2,
    n_heads: 3,
    d_model: 4,
    d_head: 5,
    d_mlp: 16,
};

/// A name and a configuration that agree with [`SMALL`].
const SMALL_NAME: &str = "w4_mix_d5_l2_h3_t15K_s1";
const SMALL_CONFIG: &str = r#""model_name": "w4_mix_d5_l2_h3_t15K_s1", "n_layers": 2, "n_heads": 3,
    "d_vocab": 15, "d_model": 4, "d_mlp_multiplier": 4, "d_head": 5, "act_fn": "relu", "n_digits": 5,
    "perc_add": 34, "perc_sub": 66"#;

fn small_arrays() -> BTreeMap<String, Array> {
    Weights::random(SMALL, 1).into()
}

fn small_pth() -> Vec<u8> {
    let (dict, storages) = state_dict(&small_arrays());
    pth(&pickle(&dict), &storages)
}

fn small_safetensors() -> Vec<u8> {
    safetensors_of(&small_arrays())
}

fn safetensors_of(arrays: &BTreeMap<String, Array>) -> Vec<u8> {
    let bytes: Vec<_> = arrays
        .iter()
        .map(|(name, array)| (name, array.shape().to_vec(), floats(array.data())))
        .collect();
    let views = bytes.iter().map(|(name, shape, data)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

fn training(config: &str) -> String {
    format!("{{\"Config\": {{{config}}}, \"TrainingLoss\": [1.0, 0.5]}}")
}

/// A folder of a model, with the files given and no others.
struct Folder {
    _keep: TempDir,
    path: PathBuf,
}

impl Folder {
    fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join(name);
        fs::create_dir(&path).unwrap();
        for (file, bytes) in files {
            fs::write(path.join(file), bytes).unwrap();
        }
        Self { _keep: keep, path }
    }

    fn open(&self) -> Result<ModelFolder, LoadError> {
        ModelFolder::open(&self.path)
    }

    /// The error, checked to begin with the path of `file`; what it says after that.
    fn refusal(&self, file: &str) -> String {
        let error = self.open().unwrap_err().to_string();
        let path = match file {
            "" => self.path.clone(),
            file => self.path.join(file),
        };
        error
            .strip_prefix(&format!("{}: ", path.display()))
            .unwrap_or_else(|| panic!("{error:?} doesn't begin with {path:?}"))
            .to_owned()
    }
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

// ---------------------------------------------------------------- models that load

#[test]
fn the_bundled_models_load_with_their_shapes() {
    let width_126 = Shape {
        n_digits: 5,
        n_layers: 2,
        n_heads: 3,
        d_model: 126,
        d_head: 42,
        d_mlp: 504,
    };
    let mixed = Shape {
        n_layers: 3,
        n_heads: 4,
        ..width_126
    };
    for (name, shape, operations) in [
        ("w126_add_d5_l2_h3_t15K_s372001", width_126, Operations::Add),
        ("w126_sub_d5_l2_h3_t30K_s372001", width_126, Operations::Sub),
        ("w126_mix_d5_l3_h4_t40K_s372001", mixed, Operations::Mix),
    ] {
        let model = ModelFolder::open(&models().join(name)).unwrap();
        assert_eq!(model.weights.shape(), shape, "{name}");
        assert_eq!(model.operations(), operations, "{name}");
        assert_eq!(model.model_name.unwrap().to_string(), name);
        assert_eq!(model.name, name);
        assert!(!model.training.unwrap().training_loss.is_empty());
        assert!(model.features.unwrap().path.ends_with("features.json"));
        assert!(model.behaviors.unwrap().path.ends_with("behaviors.json"));
    }
}

#[test]
fn the_bundled_model_is_the_one_in_its_folder() {
    let bundled = ModelFolder::bundled();
    let opened = ModelFolder::open(&models().join(BUNDLED_NAME)).unwrap();
    assert_eq!(bundled.weights, opened.weights);
    assert_eq!(bundled.weights_sha256, opened.weights_sha256);
    assert_eq!(bundled.training, opened.training);
    assert_eq!(
        bundled.features.unwrap().sha256,
        opened.features.unwrap().sha256
    );
}

#[test]
fn a_sha256_is_that_of_the_file() {
    let folder = Folder::new(
        SMALL_NAME,
        &[("model.pth", &small_pth()), ("features.json", b"abc")],
    );
    // FIPS 180-2, appendix B.1
    assert_eq!(
        folder.open().unwrap().features.unwrap().sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn nothing_is_printed_while_a_model_loads() {
    const CHILD: &str = "CIRCUITCHECK_LOADS_QUIETLY";
    let path = models().join("w126_add_d5_l2_h3_t15K_s372001");
    if std::env::var_os(CHILD).is_some() {
        ModelFolder::open(&path).unwrap();
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "nothing_is_printed_while_a_model_loads",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_pth_file_gives_the_arrays_it_was_written_from() {
    assert_eq!(read_pth(&small_pth()).unwrap(), small_arrays());
}

#[test]
fn a_safetensors_file_gives_the_arrays_it_was_written_from() {
    assert_eq!(
        read_safetensors(&small_safetensors()).unwrap(),
        small_arrays()
    );
}

#[test]
fn a_state_dict_may_lie_under_a_wrappers_key() {
    let (inner, storages) = state_dict(&small_arrays());
    for key in ["model", "state_dict", "model_state_dict"] {
        let outer = dict(&[
            ("epoch", int(3)),
            (key, inner.clone()),
            ("note", b"N".to_vec()),
        ]);
        assert_eq!(
            read_pth(&pth(&pickle(&outer), &storages)).unwrap(),
            small_arrays()
        );
    }
}

/// The small model with this before each name, and a buffer of bools as TransformerLens keeps it.
fn prefixed(prefix: &str) -> BTreeMap<String, Array> {
    let rename = |(name, array)| (format!("{prefix}{name}"), array);
    small_arrays().into_iter().map(rename).collect()
}

#[test]
fn names_are_read_without_what_wrappers_put_before_them() {
    for prefix in ["module.", "_orig_mod.", "model.", "module._orig_mod.model."] {
        let arrays = prefixed(prefix);
        let (tensors, storages) = state_dict(&arrays);
        let buffer = View {
            storage: "BoolStorage",
            ..view()
        };
        let mask = format!("{prefix}blocks.0.attn.mask");
        let items = [
            tensors.strip_suffix(b"u").unwrap(),
            &text(&mask),
            &buffer.write(),
            b"u",
        ]
        .concat();
        let file = pth(&pickle(&items), &storages);
        assert_eq!(read_pth(&file).unwrap(), small_arrays(), "{prefix}");
        assert_eq!(
            read_safetensors(&safetensors_of(&arrays)).unwrap(),
            small_arrays(),
            "{prefix}"
        );
    }
}

#[test]
fn two_names_that_are_one_without_their_prefixes_are_refused() {
    let mut arrays = small_arrays();
    arrays.extend(prefixed("module."));
    let (tensors, storages) = state_dict(&arrays);
    assert_eq!(
        pth_refusal(&pth(&pickle(&tensors), &storages)),
        "file has two entries named `blocks.0.attn.W_K`"
    );
    assert!(matches!(
        read_safetensors(&safetensors_of(&arrays)),
        Err(SafetensorsError::Duplicate { .. })
    ));
}

#[test]
fn the_ordered_dict_of_a_module_is_read_past_its_metadata() {
    let (plain, storages) = state_dict(&small_arrays());
    let ordered = [
        global("collections", "OrderedDict").as_slice(),
        b")R",
        plain.strip_prefix(b"}").unwrap(),
        &dict(&[("_metadata", b"}".to_vec())]),
        b"b",
    ]
    .concat();
    assert_eq!(
        read_pth(&pth(&pickle(&ordered), &storages)).unwrap(),
        small_arrays()
    );
}

#[test]
fn a_model_loads_from_safetensors_as_from_pth() {
    let from_pth = Folder::new(SMALL_NAME, &[("model.pth", &small_pth())]);
    let from_safetensors = Folder::new(SMALL_NAME, &[("model.safetensors", &small_safetensors())]);
    assert_eq!(
        from_pth.open().unwrap().weights,
        from_safetensors.open().unwrap().weights
    );
}

#[test]
fn model_pth_is_read_where_both_files_of_weights_lie() {
    let pth = small_pth();
    let folder = Folder::new(
        SMALL_NAME,
        &[("model.pth", &pth), ("model.safetensors", b"broken")],
    );
    assert!(folder.open().is_ok());
    assert!(ModelFolder::open(&folder.path.join("model.pth")).is_ok());
    assert!(ModelFolder::open(&folder.path.join("model.safetensors")).is_err());
}

#[test]
fn flat_files_are_read_by_their_older_names() {
    let config = training(SMALL_CONFIG);
    let file = |ending: &str| format!("{SMALL_NAME}{ending}");
    let folder = Folder::new(
        "VerifiedArithmetic",
        &[
            (&file(".pth"), &small_pth()),
            (&file("_train.json"), config.as_bytes()),
            (&file("_behavior.json"), b"behaviors"),
            (&file("_maths.json"), b"features"),
        ],
    );
    let model = ModelFolder::open(&folder.path.join(file(".pth"))).unwrap();
    assert_eq!(model.name, SMALL_NAME);
    assert_eq!(model.training.unwrap().n_digits, Some(5));
    assert_eq!(model.behaviors.unwrap().bytes, b"behaviors");
    assert_eq!(model.features.unwrap().bytes, b"features");
}

#[test]
fn a_published_repositorys_name_is_a_models_name_with_a_prefix() {
    let folder = Folder::new(
        &format!("QuantaMaths_{SMALL_NAME}"),
        &[("model.pth", &small_pth())],
    );
    let model = folder.open().unwrap();
    assert_eq!(model.model_name.unwrap().to_string(), SMALL_NAME);
}

#[test]
fn a_renamed_folder_is_named_by_its_configuration() {
    let config = training(SMALL_CONFIG);
    let folder = Folder::new(
        "downloads",
        &[
            ("model.pth", &small_pth()),
            ("training_loss.json", config.as_bytes()),
        ],
    );
    let model = folder.open().unwrap();
    assert_eq!(model.name, "downloads");
    assert_eq!(model.model_name.unwrap().to_string(), SMALL_NAME);
}

#[test]
fn the_shares_of_training_questions_tell_the_operations_of_a_nameless_model() {
    let config = training(r#""perc_add": 0, "perc_sub": 100"#);
    let folder = Folder::new(
        "downloads",
        &[
            ("model.pth", &small_pth()),
            ("training_loss.json", config.as_bytes()),
        ],
    );
    assert_eq!(folder.open().unwrap().operations(), Operations::Sub);
}

#[test]
fn a_folder_with_nothing_but_weights_opens_under_any_name() {
    let given = OperationsFrom::Given(Operations::Sub);
    let open = |path: &Path| ModelFolder::open_with(path, None, &given);
    for file in ["model.pth", "weights.pt", "epoch-3.pth"] {
        let folder = Folder::new("mine", &[(file, &small_pth())]);
        let model = open(&folder.path).unwrap();
        assert_eq!(model.weights.shape(), SMALL);
        assert_eq!(model.operations(), Operations::Sub);
        assert_eq!(model.name, "mine");
        assert!(open(&folder.path.join(file)).is_ok());
    }
    let folder = Folder::new(
        "mine",
        &[("b.safetensors", &small_safetensors()), ("a.pt", b"")],
    );
    assert_eq!(
        open(&folder.path).unwrap_err().to_string(),
        format!(
            "{}: folder has several files of weights, a.pt, b.safetensors, and none named model.pth or model.safetensors",
            folder.path.display()
        )
    );
    assert!(open(&folder.path.join("b.safetensors")).is_ok());
}

#[test]
fn operations_given_come_before_the_name_and_the_name_before_asking() {
    let add = r#""model_name": "add_d5_l2_h3_t15K_s1", "perc_add": 100, "perc_sub": 0"#;
    let contradicting = folder_saying(SMALL_NAME, add);
    let given = OperationsFrom::Given(Operations::Sub);
    let model = ModelFolder::open_with(&contradicting.path, None, &given).unwrap();
    assert_eq!(model.operations(), Operations::Sub);

    let ask = OperationsFrom::Files(&|_| Some(Operations::Add));
    let named = Folder::new(SMALL_NAME, &[("model.pth", &small_pth())]);
    let model = ModelFolder::open_with(&named.path, None, &ask).unwrap();
    assert_eq!(model.operations(), Operations::Mix);
    let recorded = folder_saying("mine", r#""perc_add": 0, "perc_sub": 100"#);
    let model = ModelFolder::open_with(&recorded.path, None, &ask).unwrap();
    assert_eq!(model.operations(), Operations::Sub);
    let bare = folder_saying("mine", "");
    let model = ModelFolder::open_with(&bare.path, None, &ask).unwrap();
    assert_eq!(model.operations(), Operations::Add);
}

#[test]
fn an_empty_training_record_leaves_everything_to_the_name() {
    let folder = Folder::new(
        SMALL_NAME,
        &[("model.pth", &small_pth()), ("training_loss.json", b"{}")],
    );
    let model = folder.open().unwrap();
    assert_eq!(model.operations(), Operations::Mix);
    assert!(model.training.unwrap().training_loss.is_empty());
}

// ---------------------------------------------------------------- tensors within a .pth file

/// Twelve elements 0, 1, … 11 and one tensor `a` of them.
fn view<'a>() -> View<'a> {
    View {
        storage: "FloatStorage",
        key: "0",
        elements: 12,
        offset: 0,
        shape: &[3, 4],
        strides: &[4, 1],
    }
}

fn twelve() -> Vec<f32> {
    (0..12u8).map(f32::from).collect()
}

fn one_tensor(view: &View, storage: &[u8]) -> Result<Array, PthError> {
    let description = pickle(&dict(&[("a", view.write())]));
    let storages = [("model/data/0".to_owned(), storage.to_vec())];
    read_pth(&pth(&description, &storages)).map(|mut arrays| arrays.remove("a").unwrap())
}

#[test]
fn a_strided_view_is_gathered() {
    let transposed = View {
        offset: 1,
        shape: &[3, 2],
        strides: &[1, 4],
        ..view()
    };
    let array = one_tensor(&transposed, &floats(&twelve())).unwrap();
    assert_eq!(array.shape(), [3, 2]);
    assert_eq!(array.data(), [1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
}

#[test]
fn tensors_may_share_a_storage() {
    let tail = View {
        offset: 8,
        shape: &[4],
        strides: &[1],
        ..view()
    };
    let description = pickle(&dict(&[("all", view().write()), ("tail", tail.write())]));
    let storages = [("model/data/0".to_owned(), floats(&twelve()))];
    let arrays = read_pth(&pth(&description, &storages)).unwrap();
    assert_eq!(arrays["all"].data(), twelve());
    assert_eq!(arrays["tail"].data(), [8.0, 9.0, 10.0, 11.0]);
}

#[test]
fn every_float_type_becomes_float32() {
    let doubles: Vec<u8> = twelve()
        .iter()
        .flat_map(|&x| f64::from(x).to_le_bytes())
        .collect();
    let halves: Vec<u8> = twelve()
        .iter()
        .flat_map(|&x| half::f16::from_f32(x).to_le_bytes())
        .collect();
    let brains: Vec<u8> = twelve()
        .iter()
        .flat_map(|&x| half::bf16::from_f32(x).to_le_bytes())
        .collect();
    for (storage, bytes) in [
        ("FloatStorage", floats(&twelve())),
        ("DoubleStorage", doubles),
        ("HalfStorage", halves),
        ("BFloat16Storage", brains),
    ] {
        let array = one_tensor(&View { storage, ..view() }, &bytes).unwrap();
        assert_eq!(array.data(), twelve(), "{storage}");
    }
}

#[test]
fn a_parameter_is_its_tensor() {
    let parameter = [
        global("torch._utils", "_rebuild_parameter"),
        tuple(&[view().write(), b"\x88".to_vec(), b"}".to_vec()]),
        b"R".to_vec(),
    ]
    .concat();
    let description = pickle(&dict(&[("a", parameter)]));
    let storages = [("model/data/0".to_owned(), floats(&twelve()))];
    let arrays = read_pth(&pth(&description, &storages)).unwrap();
    assert_eq!(arrays["a"].data(), twelve());
}

#[test]
fn buffers_that_carry_nothing_are_not_even_looked_up() {
    let mask = View {
        storage: "BoolStorage",
        key: "nowhere",
        ..view()
    };
    let description = pickle(&dict(&[
        ("blocks.0.attn.mask", mask.write()),
        ("blocks.1.attn.IGNORE", mask.write()),
    ]));
    assert!(read_pth(&pth(&description, &[])).unwrap().is_empty());
}

#[test]
fn a_storage_that_holds_no_floats_is_refused_with_its_type() {
    let error = one_tensor(
        &View {
            storage: "LongStorage",
            ..view()
        },
        &[0; 96],
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `a` is kept in a LongStorage, expected floating-point elements"
    );
}

#[test]
fn a_storage_of_another_length_than_declared_is_refused_with_both() {
    let error = one_tensor(&view(), &[0; 44]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "storage of `a` is 44 bytes in the archive, 12 elements by the pickle"
    );
    assert!(matches!(
        one_tensor(&view(), &[0; 49]),
        Err(PthError::StorageSize { found: 49, .. })
    ));
}

#[test]
fn a_tensor_beyond_its_storage_is_refused() {
    let error = one_tensor(
        &View {
            offset: 1,
            ..view()
        },
        &floats(&twelve()),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `a` of shape [3, 4], strides [4, 1] from 1 reaches beyond its storage of 12 elements"
    );
    let far = View {
        strides: &[i64::MAX, i64::MAX],
        ..view()
    };
    assert!(matches!(
        one_tensor(&far, &floats(&twelve())),
        Err(PthError::OutOfStorage { .. })
    ));
}

#[test]
fn a_small_file_cannot_unfold_to_fill_memory() {
    for shape in [[1 << 20, 2000], [1 << 40, 1 << 40]] {
        let error = one_tensor(
            &View {
                shape: &shape,
                strides: &[0, 0],
                ..view()
            },
            &floats(&twelve()),
        )
        .unwrap_err();
        assert!(matches!(error, PthError::TooManyElements { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!(
            "tensor `a` of shape {shape:?} brings the elements to more than the file's "
        )));
    }
}

#[test]
fn storages_that_overlap_in_the_file_are_refused() {
    let content = floats(&[0.0; 4096]);
    let names: Vec<String> = (0..4).map(|key| format!("model/data/{key}")).collect();
    let views: Vec<_> = ["0", "1", "2", "3"]
        .map(|key| {
            let view = View {
                key,
                elements: 4096,
                shape: &[1],
                strides: &[1],
                ..view()
            };
            (key, view.write())
        })
        .to_vec();
    let error = read_pth(&overlapping_archive(
        &pickle(&dict(&views)),
        &names,
        &content,
    ))
    .unwrap_err();
    assert!(matches!(error, PthError::Overlap { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("storage of `1` brings the storages to more than the file's ")
    );
}

// ---------------------------------------------------------------- the archive of a .pth file

fn pth_refusal(bytes: &[u8]) -> String {
    read_pth(bytes).unwrap_err().to_string()
}

#[test]
fn a_file_that_is_no_archive_is_refused() {
    for bytes in [b"".as_slice(), b"\x80\x02}.", b"PK\x03\x04 and so on"] {
        assert!(pth_refusal(bytes).starts_with("not a zip archive as torch.save writes: "));
    }
}

#[test]
fn an_archive_without_a_pickle_is_refused_with_its_entries_counted() {
    assert_eq!(
        pth_refusal(&archive(&[("model/version", b"3"), ("mydata.pkl", b"}.")])),
        "archive has no data.pkl among its 2 entries"
    );
}

#[test]
fn an_archive_with_two_pickles_is_refused_with_both_named() {
    assert_eq!(
        pth_refusal(&archive(&[("a/data.pkl", b"}."), ("b/data.pkl", b"}.")])),
        "archive has both \"a/data.pkl\" and \"b/data.pkl\", of which there must be one"
    );
}

#[test]
fn an_entry_with_a_wrong_checksum_is_refused_and_named() {
    let mut bytes = small_pth();
    let weight = floats(&small_arrays()["embed.W_E"].data()[..4]);
    let at = bytes
        .windows(weight.len())
        .position(|window| window == weight)
        .unwrap();
    bytes[at] ^= 1;
    let error = pth_refusal(&bytes);
    assert!(
        error.starts_with("archive entry \"model/data/") && error.contains("checksum"),
        "{error}"
    );
}

#[test]
fn a_storage_that_is_not_in_the_archive_is_refused_and_named() {
    let error = pth_refusal(&pth(&pickle(&dict(&[("a", view().write())])), &[]));
    assert!(
        error.starts_with("archive entry \"model/data/0\" cannot be read: "),
        "{error}"
    );
}

#[test]
fn a_compressed_entry_is_refused_and_named() {
    let mut bytes = archive(&[(PICKLE, b"\x80\x02}.")]);
    let directory = bytes
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .unwrap();
    // Compression method 8, deflate, in both headers.
    bytes[8] = 8;
    bytes[directory + 10] = 8;
    let error = pth_refusal(&bytes);
    assert!(
        error.starts_with("archive entry \"model/data.pkl\" cannot be read: "),
        "{error}"
    );
}

#[test]
fn a_pickle_of_absurd_length_is_not_read() {
    let bytes = archive(&[(PICKLE, &vec![b'N'; MAX_PICKLE_BYTES + 1])]);
    assert_eq!(
        pth_refusal(&bytes),
        "archive entry \"model/data.pkl\" is longer than 1048576 bytes"
    );
}

#[test]
fn a_big_endian_file_is_refused() {
    let bytes = archive(&[(PICKLE, b"\x80\x02}."), ("model/byteorder", b"big")]);
    assert_eq!(
        pth_refusal(&bytes),
        "byte order is \"big\", only \"little\" is read"
    );
}

#[test]
fn a_file_that_holds_no_dict_is_refused_with_what_it_holds() {
    assert_eq!(
        pth_refusal(&pth(&pickle(b"]"), &[])),
        "file holds a list, expected a dict of tensors"
    );
}

#[test]
fn a_key_that_is_no_name_is_refused() {
    let keyed = |key: &[u8]| pth(&pickle(&[b"}", key, b"Ns"].concat()), &[]);
    assert_eq!(
        pth_refusal(&keyed(b"K\x07")),
        "file has a tensor named an integer, expected at most 256 ascii characters"
    );
    assert_eq!(
        pth_refusal(&keyed(&text("\u{1b}[2J"))),
        "file has a tensor named \"\\u{1b}[2J\", expected at most 256 ascii characters"
    );
    assert!(pth_refusal(&keyed(&text(&"a".repeat(1000)))).len() < 400);
}

#[test]
fn a_value_that_is_no_tensor_is_refused_with_what_it_is() {
    assert_eq!(
        pth_refusal(&pth(&pickle(&dict(&[("a", b"]".to_vec())])), &[])),
        "`a` is a list, expected a tensor"
    );
}

#[test]
fn a_tensor_given_twice_is_refused() {
    let twice = dict(&[("a", view().write()), ("a", view().write())]);
    let storages = [("model/data/0".to_owned(), floats(&twelve()))];
    assert_eq!(
        pth_refusal(&pth(&pickle(&twice), &storages)),
        "file has two entries named `a`"
    );
    let wrapped = || dict(&[("a", view().write())]);
    let twice = dict(&[("model", wrapped()), ("model", wrapped())]);
    assert_eq!(
        pth_refusal(&pth(&pickle(&twice), &storages)),
        "file has two entries named `model`"
    );
}

// ---------------------------------------------------------------- the pickle of a .pth file

/// Why a pickle of these bytes, after its two of protocol, is refused.
fn pickle_refusal(rest: &[u8]) -> PickleError {
    match read_pth(&pth(&[b"\x80\x02", rest].concat(), &[])) {
        Err(PthError::Pickle(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pickle_that_names_a_class_is_refused_and_the_class_is_named() {
    let called = [global("os", "system"), tuple(&[text("id")]), b"R.".to_vec()].concat();
    assert_eq!(
        pickle_refusal(&called).to_string(),
        "pickle names `os.system` at byte 2, which no state dict needs; nothing of it was run"
    );
}

#[test]
fn a_class_is_refused_however_it_is_named_and_even_if_it_is_never_called() {
    let thrown_away = [global("os", "system").as_slice(), b"0}."].concat();
    let from_stack = [text("os"), text("system"), b"\x93.".to_vec()].concat();
    let made_at_once = b"(ios\nsystem\n.".to_vec();
    let within_torch = global("torch", "load");
    for (bytes, class) in [
        (thrown_away, "os.system"),
        (from_stack, "os.system"),
        (made_at_once, "os.system"),
        (within_torch, "torch.load"),
    ] {
        match pickle_refusal(&bytes) {
            PickleError::Class { name, .. } => assert_eq!(name, class),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_class_is_named_without_its_control_characters_and_at_no_great_length() {
    let error = pickle_refusal(&global("\u{1b}[2J", &"a".repeat(9999))).to_string();
    assert!(
        error.contains("`\\x1b[2J.aaa") && error.len() < 300,
        "{error}"
    );
}

#[test]
fn a_pickle_that_ends_early_is_refused_with_what_it_lacks() {
    assert_eq!(
        pickle_refusal(b"X\xff\xff\xff\x7fabc").to_string(),
        "pickle ends at byte 10, where 2147483644 more were needed"
    );
    assert_eq!(
        pickle_refusal(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc").to_string(),
        "pickle ends at byte 14, where 18446744073709551612 more were needed"
    );
    assert_eq!(
        pickle_refusal(b"}").to_string(),
        "pickle ends at byte 3, where 1 more were needed"
    );
    assert!(matches!(
        pickle_refusal(b"ctorch._utils"),
        PickleError::Truncated { .. }
    ));
}

#[test]
fn an_instruction_that_no_state_dict_needs_is_refused() {
    assert_eq!(
        pickle_refusal(b"})\x81.").to_string(),
        "pickle has instruction 0x81 at byte 4, which no state dict needs"
    );
}

#[test]
fn a_protocol_that_does_not_exist_is_refused() {
    assert_eq!(
        pickle_refusal(b"\x80\x06}.").to_string(),
        "pickle is of protocol 6, the newest known is 5"
    );
}

#[test]
fn an_empty_stack_is_refused() {
    assert_eq!(
        pickle_refusal(b".").to_string(),
        "pickle takes a value from an empty stack at byte 2"
    );
    // A key without a value, and a value below the last mark.
    for bytes in [b"}(Nu.".as_slice(), b"N(0."] {
        assert!(matches!(
            pickle_refusal(bytes),
            PickleError::EmptyStack { .. }
        ));
    }
}

#[test]
fn a_mark_that_was_never_set_is_refused() {
    assert_eq!(
        pickle_refusal(b"t.").to_string(),
        "pickle goes back to a mark that was never set at byte 2"
    );
}

#[test]
fn a_value_that_was_never_remembered_is_refused() {
    assert_eq!(
        pickle_refusal(b"h\x09.").to_string(),
        "pickle recalls value 9 at byte 2, which was never remembered"
    );
}

#[test]
fn a_text_that_is_not_utf_8_is_refused() {
    assert_eq!(
        pickle_refusal(b"\x8c\x01\xff.").to_string(),
        "pickle has a text at byte 2 that is not utf-8"
    );
}

#[test]
fn an_integer_wider_than_any_size_is_refused() {
    assert_eq!(
        pickle_refusal(b"\x8a\x09aaaaaaaaa.").to_string(),
        "pickle has an integer of 9 bytes at byte 2, more than 8"
    );
}

#[test]
fn a_value_of_another_kind_is_refused_with_both_kinds() {
    for (bytes, message) in [
        (b"}Na.".to_vec(), "a dict at byte 4 where a list"),
        (b"]Ns.".to_vec(), "EmptyStack"),
        (b"]NNs.".to_vec(), "a list at byte 5 where a dict"),
        (b"]Nb.".to_vec(), "a list at byte 4 where a dict"),
        (b"N)R.".to_vec(), "None at byte 4 where a class"),
        (
            b"ccollections\nOrderedDict\nNR.".to_vec(),
            "None at byte 28 where a tuple",
        ),
        (
            b"ccollections\nOrderedDict\nN\x85R.".to_vec(),
            "a call with others at byte 29 where a call with a tensor's arguments",
        ),
        (
            b"ctorch._utils\n_rebuild_tensor_v2\n)R.".to_vec(),
            "a call with others at byte 36 where a call with a tensor's arguments",
        ),
        (b"NQ.".to_vec(), "None at byte 3 where ('storage', class,"),
        (b")Q.".to_vec(), "a tuple of another length at byte 3 where"),
        (
            [
                tuple(&[text("s"), text("c"), text("k"), text("l"), int(1)]),
                b"Q.".to_vec(),
            ]
            .concat(),
            "a text at byte 38 where the text 'storage'",
        ),
        (
            [
                tuple(&[text("storage"), text("c"), text("k"), text("l"), int(1)]),
                b"Q.".to_vec(),
            ]
            .concat(),
            "a text at byte 44 where a storage class",
        ),
    ] {
        let error = match pickle_refusal(&bytes) {
            PickleError::EmptyStack { .. } => "EmptyStack".to_owned(),
            error => error.to_string(),
        };
        assert!(error.contains(message), "{error} / {message}");
    }
}

#[test]
fn a_tensor_with_unequal_sizes_and_strides_is_refused_with_both() {
    let error = one_tensor(
        &View {
            strides: &[1],
            ..view()
        },
        &[],
    )
    .unwrap_err()
    .to_string();
    assert!(error.ends_with("of 2 sizes but 1 strides"), "{error}");
}

/// A tensor in a pickle with this as its metadata.
fn with_metadata(metadata: &[u8]) -> Vec<u8> {
    let plain = view().write();
    // Before the mark that ends the tuple of arguments, and the call.
    let (arguments, call) = plain.split_at(plain.len() - 2);
    assert_eq!(call, b"tR");
    [arguments, metadata, call].concat()
}

#[test]
fn a_tensor_whose_metadata_change_it_is_refused() {
    let read = |metadata: &[u8]| {
        let pickle = pickle(&dict(&[("a", with_metadata(metadata))]));
        let storage = ("model/data/0".to_owned(), floats(&twelve()));
        read_pth(&pth(&pickle, &[storage]))
    };
    for set in [
        dict(&[("neg", b"\x88".to_vec())]),
        dict(&[("conj", b"\x88".to_vec())]),
        dict(&[("unknown", int(1))]),
        b"\x88".to_vec(),
        [b"N".to_vec(), dict(&[("neg", b"\x88".to_vec())])].concat(),
    ] {
        let error = read(&set).unwrap_err();
        assert!(
            matches!(error, PthError::Pickle(PickleError::Metadata { .. })),
            "{error}"
        );
        assert!(error.to_string().contains("negative or conjugate bit"));
    }
    for nothing in [&b""[..], b"N", b"}"] {
        assert!(read(nothing).is_ok(), "{nothing:?}");
    }
}

#[test]
fn a_tensor_of_too_many_dimensions_is_refused() {
    let error = one_tensor(
        &View {
            shape: &[1; 9],
            strides: &[1; 9],
            ..view()
        },
        &[],
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.starts_with("pickle has a tensor of 9 dimensions at byte ")
            && error.ends_with(", more than 8"),
        "{error}"
    );
}

#[test]
fn a_negative_offset_size_or_count_is_refused() {
    for wrong in [
        View {
            offset: -3,
            ..view()
        },
        View {
            shape: &[-3, 4],
            ..view()
        },
        View {
            strides: &[-3, 1],
            ..view()
        },
        View {
            elements: -3,
            ..view()
        },
    ] {
        let error = one_tensor(&wrong, &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("pickle has -3 at byte ")
                && error.ends_with(" where a count was expected"),
            "{error}"
        );
    }
}

#[test]
fn nesting_and_repetition_cost_no_more_than_their_length() {
    let nested = [vec![b']'; 500_000], vec![b'a'; 499_999]].concat();
    let tuples = [b")".to_vec(), vec![0x85; 500_000]].concat();
    // Each list holds the one before twice over: 2^40 entries, were they copied.
    let mut doubled = b"]q\x00".to_vec();
    for level in 0..40 {
        doubled.extend([b'(', b'h', level, b'h', level, b'l', b'q', level + 1]);
    }
    let cyclic = b"}q\x00X\x01\x00\x00\x00ah\x00s".to_vec();
    for (instructions, expected) in [
        (nested, "file holds a list"),
        (tuples, "file holds a tuple"),
        (doubled, "file holds a list"),
        (cyclic, "`a` is a dict"),
    ] {
        let bytes = pth(&pickle(&instructions), &[]);
        let (error, peak) = peak_memory(|| pth_refusal(&bytes));
        assert!(error.starts_with(expected), "{error}");
        assert!(
            peak < MEMORY_PER_PICKLE_BYTE * bytes.len() + MEMORY_TO_START,
            "{peak} bytes for a file of {}",
            bytes.len()
        );
    }
}

// ---------------------------------------------------------------- safetensors files

#[test]
fn a_file_that_is_no_safetensors_is_refused() {
    for bytes in [
        b"".as_slice(),
        b"12345678",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
        b"\x02\0\0\0\0\0\0\0[]",
    ] {
        let error = read_safetensors(bytes).unwrap_err();
        assert!(error.to_string().starts_with("not a safetensors file: "));
    }
    let whole = small_safetensors();
    assert!(matches!(
        read_safetensors(&whole[..whole.len() - 1]),
        Err(SafetensorsError::Format(_))
    ));
}

#[test]
fn a_safetensors_tensor_that_holds_no_floats_is_refused_with_its_type() {
    let view = TensorView::new(Dtype::I32, vec![1], &[0; 4]).unwrap();
    let bytes = safetensors::serialize([("a", view)], None).unwrap();
    assert_eq!(
        read_safetensors(&bytes).unwrap_err().to_string(),
        "tensor \"a\" has elements of type I32, expected F64, F32, F16 or BF16"
    );
}

#[test]
fn buffers_of_a_safetensors_file_are_left_out() {
    let view = TensorView::new(Dtype::BOOL, vec![1], &[1]).unwrap();
    let bytes = safetensors::serialize([("blocks.0.attn.mask", view)], None).unwrap();
    assert!(read_safetensors(&bytes).unwrap().is_empty());
}

// ---------------------------------------------------------------- the folder

#[test]
fn a_path_where_nothing_is_is_refused() {
    let folder = Folder::new(SMALL_NAME, &[]);
    let path = folder.path.join("gone");
    assert_eq!(
        ModelFolder::open(&path).unwrap_err().to_string(),
        format!("{}: no such folder or file", path.display())
    );
}

#[test]
fn a_folder_without_weights_is_refused_and_the_files_it_lacks_are_named() {
    let folder = Folder::new(SMALL_NAME, &[("features.json", b"[]")]);
    assert_eq!(
        folder.refusal(""),
        "folder has neither model.pth nor model.safetensors, nor another file of weights"
    );
}

#[test]
fn a_file_that_is_none_of_weights_is_refused() {
    let folder = Folder::new(SMALL_NAME, &[("features.json", b"[]")]);
    let error = ModelFolder::open(&folder.path.join("features.json")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("features.json: not a model's folder, nor a .pth, .pt or .safetensors file")
    );
}

#[test]
fn a_folder_in_place_of_a_file_is_refused() {
    let folder = Folder::new(SMALL_NAME, &[]);
    fs::create_dir(folder.path.join("model.pth")).unwrap();
    assert_eq!(folder.refusal("model.pth"), "not a regular file");
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_read_is_refused_with_the_systems_reason() {
    let folder = Folder::new(SMALL_NAME, &[]);
    std::os::unix::fs::symlink("gone", folder.path.join("model.pth")).unwrap();
    assert!(matches!(folder.open(), Err(LoadError::Io { .. })));
    assert!(folder.refusal("model.pth").starts_with("No such file"));
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let folder = Folder::new(SMALL_NAME, &[]);
    let file = fs::File::create(folder.path.join("model.pth")).unwrap();
    file.set_len(MAX_MODEL_FILE_BYTES + 1).unwrap();
    let (error, peak) = peak_memory(|| folder.refusal("model.pth"));
    assert_eq!(
        error,
        "file is 134217729 bytes, more than the 134217728 that are read"
    );
    assert!(peak < MEMORY_TO_START);
}

#[test]
fn a_fault_within_a_file_is_told_with_the_file() {
    let folder = Folder::new(SMALL_NAME, &[("model.pth", b"torch")]);
    assert!(folder.refusal("model.pth").starts_with("not a zip archive"));

    let folder = Folder::new(SMALL_NAME, &[("model.safetensors", b"torch")]);
    assert!(
        folder
            .refusal("model.safetensors")
            .starts_with("not a safetensors file")
    );

    let empty = pth(&pickle(b"}"), &[]);
    let folder = Folder::new(SMALL_NAME, &[("model.pth", &empty)]);
    assert!(
        folder
            .refusal("model.pth")
            .starts_with("tensor `embed.W_E` is missing")
    );

    let folder = Folder::new(
        SMALL_NAME,
        &[("model.pth", &small_pth()), ("training_loss.json", b"{")],
    );
    assert!(folder.refusal("training_loss.json").starts_with("not JSON"));
}

/// A folder of the small model with this name and configuration.
fn folder_saying(name: &str, config: &str) -> Folder {
    Folder::new(
        name,
        &[
            ("model.pth", &small_pth()),
            ("training_loss.json", training(config).as_bytes()),
        ],
    )
}

#[test]
fn another_activation_function_is_refused() {
    let folder = folder_saying(SMALL_NAME, r#""act_fn": "gelu""#);
    assert_eq!(
        folder.refusal("training_loss.json"),
        "Config.act_fn is \"gelu\", only \"relu\" is supported"
    );
}

#[test]
fn a_model_that_nothing_tells_the_operations_of_is_refused() {
    let expected = "operations unknown: neither the name \"downloads\" nor Config.perc_add and \
        perc_sub in training_loss.json give them";
    assert_eq!(folder_saying("downloads", "").refusal(""), expected);
    let folder = Folder::new("downloads", &[("model.pth", &small_pth())]);
    assert_eq!(folder.refusal(""), expected);
}

#[test]
fn a_name_that_contradicts_the_tensors_is_refused_with_both() {
    for (name, what) in [
        ("w4_mix_d6_l2_h3_t15K_s1", "n_digits is 6"),
        ("w4_mix_d5_l3_h3_t15K_s1", "n_layers is 3"),
        ("w4_mix_d5_l2_h4_t15K_s1", "n_heads is 4"),
        ("w8_mix_d5_l2_h3_t15K_s1", "d_model is 8"),
    ] {
        let found = match &what[..3] {
            "n_d" => 5,
            "n_l" => 2,
            "n_h" => 3,
            _ => 4,
        };
        let folder = Folder::new(name, &[("model.pth", &small_pth())]);
        assert_eq!(
            folder.refusal(""),
            format!("{what} by the name {name:?}, but {found} by its tensors")
        );
        // The same name in the configuration of a folder with no name of its own.
        let folder = folder_saying("downloads", &format!("\"model_name\": {name:?}"));
        assert_eq!(
            folder.refusal(""),
            format!("{what} by Config.model_name {name:?}, but {found} by its tensors")
        );
    }
}

#[test]
fn a_name_without_a_width_says_nothing_of_it() {
    let folder = Folder::new("mix_d5_l2_h3_t15K_s1", &[("model.pth", &small_pth())]);
    assert!(folder.open().is_ok());
}

#[test]
fn a_configuration_that_contradicts_the_tensors_is_refused_with_both() {
    for (config, expected) in [
        (
            r#""n_digits": 6"#,
            "n_digits is 6 by Config.n_digits, but 5",
        ),
        (
            r#""n_layers": 3"#,
            "n_layers is 3 by Config.n_layers, but 2",
        ),
        (r#""n_heads": 4"#, "n_heads is 4 by Config.n_heads, but 3"),
        (r#""d_model": 8"#, "d_model is 8 by Config.d_model, but 4"),
        (r#""d_head": 6"#, "d_head is 6 by Config.d_head, but 5"),
        (
            r#""d_vocab": 14"#,
            "d_vocab is 14 by Config.d_vocab, but 15",
        ),
        (
            r#""d_mlp_multiplier": 3"#,
            "d_mlp is 12 by Config.d_mlp_multiplier times d_model, but 16",
        ),
    ] {
        assert_eq!(
            folder_saying(SMALL_NAME, config).refusal(""),
            format!("{expected} by its tensors")
        );
    }
}

#[test]
fn a_name_that_contradicts_the_configuration_is_refused_with_both() {
    assert_eq!(
        folder_saying(SMALL_NAME, r#""model_name": "add_d5_l2_h3_t15K_s1""#).refusal(""),
        format!(
            "operation is mix by the name {SMALL_NAME:?}, but add by Config.model_name \"add_d5_l2_h3_t15K_s1\""
        )
    );
    assert_eq!(
        folder_saying(SMALL_NAME, r#""model_name": "mix_d5_l2_h3_t15K_s2""#).refusal(""),
        format!(
            "seed is 1 by the name {SMALL_NAME:?}, but 2 by Config.model_name \"mix_d5_l2_h3_t15K_s2\""
        )
    );
    assert_eq!(
        folder_saying(SMALL_NAME, r#""perc_add": 100, "perc_sub": 0"#).refusal(""),
        format!(
            "operation is mix by the name {SMALL_NAME:?}, but add by Config.perc_add and perc_sub"
        )
    );
}

#[test]
fn a_configurations_name_that_is_none_is_passed_over() {
    assert!(
        folder_saying(SMALL_NAME, r#""model_name": "my_first_model""#)
            .open()
            .is_ok()
    );
}

// ---------------------------------------------------------------- damage of every kind

/// Most memory for each byte of a damaged file: float16 doubles, and the file's bytes are copied.
const MEMORY_PER_FILE_BYTE: usize = 8;
/// Most memory for each byte of a pickle, whose every byte may be a value of some words.
const MEMORY_PER_PICKLE_BYTE: usize = 160;
/// Memory that even the smallest file takes.
const MEMORY_TO_START: usize = 1 << 20;

/// Loads what may be damaged; fails if that takes memory out of all proportion.
fn load(bytes: &[u8]) -> Result<Weights, String> {
    let (result, peak) = peak_memory(|| {
        let arrays = read_pth(bytes).map_err(|error| error.to_string())?;
        Weights::from_arrays(arrays).map_err(|error| error.to_string())
    });
    assert!(
        peak < MEMORY_PER_FILE_BYTE * bytes.len() + MEMORY_TO_START,
        "{peak} bytes for a file of {}",
        bytes.len()
    );
    result
}

#[test]
fn a_truncated_file_never_loads() {
    let whole = fs::read(models().join("w126_add_d5_l2_h3_t15K_s372001/model.pth")).unwrap();
    assert!(load(&whole).is_ok());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..200 {
        let length = rng.random_range(0..whole.len());
        assert!(load(&whole[..length]).is_err(), "{length}");
    }
    let small = small_pth();
    // Not every length, for time; the last ones are those where the archive's end is lost.
    for length in (0..small.len()).rev().step_by(13) {
        assert!(load(&small[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_file_with_a_flipped_bit_loads_as_it_was_or_not_at_all() {
    let whole = small_pth();
    let weights = load(&whole).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        if let Ok(loaded) = load(&damaged) {
            assert!(loaded == weights, "byte {at}");
        }
    }
}

#[test]
fn a_published_file_with_flipped_bits_is_survived() {
    let whole = fs::read(models().join("w126_add_d5_l2_h3_t15K_s372001/model.pth")).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..200 {
        let mut damaged = whole.clone();
        let at = rng.random_range(0..damaged.len());
        damaged[at] ^= rng.random_range(1..=255u8);
        let _ = load(&damaged);
    }
}

#[test]
fn a_damaged_pickle_is_survived_even_if_its_checksum_is_right() {
    let (dict, storages) = state_dict(&small_arrays());
    let whole = pickle(&dict);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..3000 {
        let mut damaged = whole.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..damaged.len());
            damaged[at] = rng.random();
        }
        let _ = load(&pth(&damaged, &storages));
    }
}

#[test]
fn a_damaged_safetensors_file_is_survived() {
    let whole = small_safetensors();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for _ in 0..3000 {
        let mut damaged = whole.clone();
        // The header, where a flip matters most, is the file's first quarter or so.
        let at = rng.random_range(0..damaged.len() / 4);
        damaged[at] = rng.random();
        let (_, peak) = peak_memory(|| read_safetensors(&damaged).is_ok());
        assert!(peak < MEMORY_PER_FILE_BYTE * damaged.len() + MEMORY_TO_START);
    }
}
