//! Models come from the hub whole or not at all, whatever the network does.

mod hub_server;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use circuitcheck::inputs::hub::{Address, Fetched, Hub, HubError, HubSettings};
use circuitcheck::inputs::model::sha256;
use hub_server::{Answer, Repository, Request, Server, git_id};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NAME: &str = "someone/QuantaMaths_w126_add_d5_l2_h3_t15K_s372001";

/// A file of weights of this length, if not of this content.
fn weights() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

fn small(name: &str) -> Repository {
    let files = [
        ("model.pth", weights()),
        ("features.json", b"[]".to_vec()),
        ("README.md", b"# A model".to_vec()),
    ];
    Repository {
        name: name.to_owned(),
        commit: COMMIT.to_owned(),
        files: files.map(|(file, bytes)| (file.to_owned(), bytes)).into(),
    }
}

/// The bundled addition model, as it would be published.
fn published(name: &str, within: &str) -> Repository {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models/w126_add_d5_l2_h3_t15K_s372001");
    let files = fs::read_dir(folder).unwrap().map(|file| {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        (format!("{within}{name}"), fs::read(&path).unwrap())
    });
    Repository {
        name: name.to_owned(),
        commit: COMMIT.to_owned(),
        files: files.collect(),
    }
}

fn as_the_hub_does(_: &Request, answer: Answer) -> Answer {
    answer
}

struct Visitor {
    cache: TempDir,
    settings: HubSettings,
}

impl Visitor {
    fn of(server: &Server) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let settings = HubSettings {
            endpoint: server.endpoint.clone(),
            token: None,
            cache: cache.path().to_owned(),
            offline: false,
            silence: Duration::from_millis(300),
            first_wait: Duration::from_millis(1),
        };
        Self { cache, settings }
    }

    fn fetch(&self, address: &str) -> Result<Fetched, HubError> {
        let address: Address = address.parse().unwrap();
        Hub::new(self.settings.clone()).fetch(&address, &mut |_| {})
    }

    fn refusal(&self, address: &str) -> String {
        self.fetch(address).unwrap_err().to_string()
    }

    /// The repository's folder in the cache.
    fn folder(&self, name: &str) -> std::path::PathBuf {
        let name = name.replace('/', "--");
        self.cache.path().join(format!("models--{name}"))
    }
}

/// Fetches a small model from a hub that does this.
fn visit(
    fault: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
) -> (Server, Visitor, Result<Fetched, HubError>) {
    let server = Server::start(small("a/b"), fault);
    let visitor = Visitor::of(&server);
    let fetched = visitor.fetch("hf://a/b");
    (server, visitor, fetched)
}

fn assert_whole(fetched: &Fetched) {
    let file = fs::read(fetched.path.join("model.pth")).unwrap();
    assert!(file == weights());
}

// ---------------------------------------------------------------- what a user does

fn circuitcheck(server: &Server, cache: &Path) -> Command {
    let mut command = Command::cargo_bin("circuitcheck").unwrap();
    command
        .env("HF_ENDPOINT", &server.endpoint)
        .env("HF_HOME", cache)
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_TOKEN")
        .env_remove("HF_HUB_OFFLINE");
    command
}

const ONE_CLAIM: [&str; 4] = ["--node", "P17L0H1", "--json", "--task=SA"];

#[test]
fn an_address_gives_the_evidence_that_the_folder_gives() {
    let local = Command::cargo_bin("circuitcheck")
        .unwrap()
        .args(["verify", "models/w126_add_d5_l2_h3_t15K_s372001"])
        .args(ONE_CLAIM)
        .output()
        .unwrap();
    assert!(local.status.success());
    let folder = "a/zoo/w126_add_d5_l2_h3_t15K_s372001";
    for (repository, address) in [
        (published(NAME, ""), format!("hf://{NAME}")),
        (
            published("a/zoo", "w126_add_d5_l2_h3_t15K_s372001/"),
            format!("hf://{folder}@{COMMIT}"),
        ),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::start(repository, as_the_hub_does);
        let fetched = circuitcheck(&server, cache.path())
            .args(["verify", &address])
            .args(ONE_CLAIM)
            .output()
            .unwrap();
        assert!(fetched.status.success(), "{fetched:?}");
        assert_eq!(fetched.stdout, local.stdout, "{address}");
        // And once more, where there is no network.
        drop(server);
        let gone = Server::start(small("x/y"), |_, _| Answer::status(500));
        circuitcheck(&gone, cache.path())
            .env("HF_HUB_OFFLINE", "1")
            .args(["verify", &address])
            .args(ONE_CLAIM)
            .assert()
            .success()
            .stdout(local.stdout.clone())
            .stderr("");
        assert!(gone.requests().is_empty());
    }
}

#[test]
fn flat_files_are_a_model_too() {
    let mut repository = published("a/zoo", "");
    let flat = [
        ("model.pth", ".pth"),
        ("training_loss.json", "_train.json"),
        ("features.json", "_maths.json"),
        ("behaviors.json", "_behavior.json"),
    ];
    let files: BTreeMap<String, Vec<u8>> = flat
        .map(|(file, ending)| {
            let name = format!("w126_add_d5_l2_h3_t15K_s372001{ending}");
            (name, repository.files.remove(file).unwrap())
        })
        .into();
    repository.files = files;
    let server = Server::start(repository, as_the_hub_does);
    let cache = tempfile::tempdir().unwrap();
    let shown = circuitcheck(&server, cache.path())
        .args([
            "show",
            "hf://a/zoo/w126_add_d5_l2_h3_t15K_s372001",
            "--json",
        ])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{shown:?}");
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["model"], "w126_add_d5_l2_h3_t15K_s372001");
    // All four came.
    assert_eq!(server.count("HEAD", ""), 4);
}

#[test]
fn a_repository_is_listed_with_what_each_model_has() {
    let mut repository = small("a/zoo");
    repository.files = [
        "one/model.pth",
        "one/features.json",
        "two.pth",
        "two_train.json",
        "notes.txt",
    ]
    .map(|file| (file.to_owned(), Vec::new()))
    .into();
    let server = Server::start(repository, as_the_hub_does);
    let cache = tempfile::tempdir().unwrap();
    let list = |arguments: &[&str]| {
        let output = circuitcheck(&server, cache.path())
            .arg("list")
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = list(&["hf://a/zoo"]);
    assert!(
        text.contains("hf://a/zoo/one") && text.contains("2 models in a/zoo at main"),
        "{text}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&list(&["hf://a/zoo@refs%2Fpr%2F1", "--json"])).unwrap();
    assert_eq!(json["models"][0]["features"], "one/features.json");
    assert_eq!(json["models"][1]["address"], "hf://a/zoo@refs%2Fpr%2F1/two");
    assert_eq!(json["models"][1]["features"], serde_json::Value::Null);
    // Listing fetches nothing.
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn wrong_addresses_are_told_with_a_hint() {
    let server = Server::start(small("a/b"), as_the_hub_does);
    let cache = tempfile::tempdir().unwrap();
    for (address, message) in [
        ("hf://a", "error: \"hf://a\" names no repository"),
        ("hf://a/c", "error: http://127.0.0.1:"),
        (
            "hf://a/b/c",
            "error: hf://a/b/c: no model there; the repository has hf://a/b\n",
        ),
    ] {
        let output = circuitcheck(&server, cache.path())
            .args(["show", address])
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        assert!(
            stderr.starts_with(message) && stderr.contains("hint: "),
            "{stderr}"
        );
    }
}

// ---------------------------------------------------------------- the cache

#[cfg(unix)]
#[test]
fn the_cache_is_laid_out_as_pythons() {
    let (server, visitor, fetched) = visit(as_the_hub_does);
    let fetched = fetched.unwrap();
    assert_whole(&fetched);
    let folder = visitor.folder("a/b");
    assert_eq!(fetched.path, folder.join("snapshots").join(COMMIT));
    assert_eq!(
        fs::read_to_string(folder.join("refs/main")).unwrap(),
        COMMIT
    );
    // Another user of the cache may read it, as far as the umask lets them read the rest.
    let mode = |path: &str| {
        let metadata = fs::metadata(folder.join(path)).unwrap();
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
    };
    assert_eq!(
        mode("refs/main"),
        mode(&format!("blobs/{}", sha256(&weights())))
    );
    let link = |file: &str| fs::read_link(fetched.path.join(file)).unwrap();
    let weights_id = sha256(&weights());
    assert_eq!(
        link("model.pth"),
        Path::new("../../blobs").join(&weights_id)
    );
    assert_eq!(
        link("features.json"),
        Path::new("../../blobs").join(git_id(b"[]"))
    );
    // What is no part of the model is not fetched, and nothing half-done is left.
    assert_eq!(fs::read_dir(folder.join("blobs")).unwrap().count(), 2);
    assert!(
        visitor
            .cache
            .path()
            .join(format!(".locks/models--a--b/{weights_id}.lock"))
            .exists()
    );

    // A second visit asks what the revision stands for, and nothing else.
    let before = server.requests().len();
    visitor.fetch("hf://a/b").unwrap();
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn visitors_at_the_same_time_fetch_once() {
    let server = Server::start(small("a/b"), |_, mut answer| {
        answer.trickle = Some((100_000, Duration::from_millis(5)));
        answer
    });
    let visitor = Visitor::of(&server);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_whole(&visitor.fetch("hf://a/b").unwrap()));
        }
    });
    assert_eq!(server.count("GET", "/delivered/model.pth"), 1);
}

#[test]
fn a_cache_that_cannot_be_written_to_is_named() {
    let server = Server::start(small("a/b"), as_the_hub_does);
    let mut visitor = Visitor::of(&server);
    let file = visitor.cache.path().join("file");
    fs::write(&file, "").unwrap();
    visitor.settings.cache = file.clone();
    let refusal = visitor.refusal("hf://a/b");
    assert!(
        refusal.starts_with(&format!("{}/", file.display())),
        "{refusal}"
    );
}

// ---------------------------------------------------------------- without the network

#[test]
fn offline_what_was_fetched_is_there_and_nothing_else() {
    let server = Server::start(small("a/b"), as_the_hub_does);
    let mut visitor = Visitor::of(&server);
    visitor.fetch("hf://a/b").unwrap();
    let asked = server.requests().len();
    visitor.settings.offline = true;
    for address in ["hf://a/b", &format!("hf://a/b@{COMMIT}")] {
        let fetched = visitor.fetch(address).unwrap();
        assert_whole(&fetched);
        assert!(fetched.unasked.unwrap().contains("HF_HUB_OFFLINE"));
    }
    let refusal = visitor.refusal("hf://a/b@v2");
    assert!(
        refusal.starts_with("a/b at v2 is not in the cache"),
        "{refusal}"
    );
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn a_hub_out_of_reach_leaves_the_cache_and_says_so() {
    let server = Server::start(small("a/b"), as_the_hub_does);
    let mut visitor = Visitor::of(&server);
    visitor.fetch("hf://a/b").unwrap();
    // A port that nothing listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap();
    drop(nobody);
    visitor.settings.endpoint = format!("http://{port}");
    let fetched = visitor.fetch("hf://a/b").unwrap();
    assert_whole(&fetched);
    assert!(fetched.unasked.unwrap().contains("5 attempts"));
    assert!(matches!(
        visitor.fetch("hf://a/c"),
        Err(HubError::Connection { .. })
    ));
}

// ---------------------------------------------------------------- a network that misbehaves

#[test]
fn a_cut_connection_goes_on_where_it_was_cut() {
    let (server, _keep, fetched) = visit(|request, mut answer| {
        if request.delivery && request.nth < 6 {
            answer.cut = Some(150_000);
        }
        answer
    });
    assert_whole(&fetched.unwrap());
    let ranges: Vec<_> = (server.requests().iter())
        .filter(|request| request.delivery)
        .map(Request::range)
        .collect();
    assert_eq!(ranges.len(), 7);
    assert_eq!(ranges[0], None);
    // What is still on its way when the connection breaks may be lost, but no byte comes twice.
    for (before, after) in ranges.iter().zip(&ranges[1..]) {
        let (before, after) = (before.unwrap_or(0), after.unwrap_or(0));
        assert!(
            before < after && after <= before + 150_000,
            "{before} {after}"
        );
    }
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_was_ended() {
    let server = Server::start(small("a/b"), as_the_hub_does);
    let visitor = Visitor::of(&server);
    let blobs = visitor.folder("a/b").join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let incomplete = blobs.join(format!("{}.incomplete", sha256(&weights())));
    fs::write(&incomplete, &weights()[..777_777]).unwrap();
    assert_whole(&visitor.fetch("hf://a/b").unwrap());
    let delivered = server.requests().into_iter().find(|r| r.delivery).unwrap();
    assert_eq!(delivered.range(), Some(777_777));
    assert!(!incomplete.exists());
}

#[test]
fn what_an_earlier_run_left_wrong_is_fetched_anew() {
    let server = Server::start(small("a/b"), as_the_hub_does);
    let visitor = Visitor::of(&server);
    let blobs = visitor.folder("a/b").join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    for wrong in [
        vec![7; 5_000],
        vec![7; weights().len()],
        vec![7; weights().len() + 9],
    ] {
        let _ = fs::remove_dir_all(visitor.folder("a/b").join("snapshots"));
        let _ = fs::remove_file(blobs.join(sha256(&weights())));
        fs::write(
            blobs.join(format!("{}.incomplete", sha256(&weights()))),
            wrong,
        )
        .unwrap();
        assert_whole(&visitor.fetch("hf://a/b").unwrap());
    }
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_for_the_whole() {
    let (_server, _keep, fetched) = visit(|request, mut answer| {
        if request.delivery {
            let whole = Answer {
                body: weights(),
                ..Answer::status(200)
            };
            answer = whole;
            answer.cut = (request.nth == 0).then_some(500_000);
        }
        answer
    });
    assert_whole(&fetched.unwrap());
}

#[test]
fn a_range_other_than_was_asked_for_is_refused() {
    let (_server, _keep, fetched) = visit(|request, mut answer| {
        if request.delivery && request.nth == 0 {
            answer.cut = Some(500_000);
        } else if request.delivery {
            answer.headers = vec![("Content-Range".into(), "bytes 3-9/10".into())];
        }
        answer
    });
    let error = fetched.unwrap_err().to_string();
    assert!(error.contains("asked for bytes from "), "{error}");
}

#[test]
fn a_connection_that_is_cut_at_once_every_time_is_given_up() {
    let (server, _keep, fetched) = visit(|request, mut answer| {
        if request.delivery {
            answer.cut = Some(0);
        }
        answer
    });
    let error = fetched.unwrap_err().to_string();
    assert!(error.contains("after 5 attempts"), "{error}");
    assert_eq!(server.count("GET", "/delivered/model.pth"), 5);
}

#[test]
fn a_slow_body_is_waited_for_and_a_silent_one_is_asked_again() {
    let (server, _keep, fetched) = visit(|request, mut answer| {
        if request.delivery && request.nth == 0 {
            // Slow: longer in all than the silence allowed, but never silent. Then silent.
            answer.trickle = Some((100_000, Duration::from_millis(60)));
            answer.announced = Some(answer.body.len());
            answer.body.truncate(900_000);
            answer.trickle = Some((100_000, Duration::from_millis(60)));
        }
        answer
    });
    assert_whole(&fetched.unwrap());
    assert_eq!(server.count("GET", "/delivered/model.pth"), 2);
}

#[test]
fn a_silent_server_is_not_waited_for_without_end() {
    let (_server, _keep, fetched) = visit(|request, answer| {
        if request.method == "HEAD" {
            std::thread::sleep(Duration::from_secs(2));
        }
        answer
    });
    let error = fetched.unwrap_err();
    assert!(matches!(error, HubError::Connection { .. }), "{error}");
}

// ---------------------------------------------------------------- refusals

fn refusal(fault: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) -> String {
    let (_server, _keep, fetched) = visit(fault);
    fetched.unwrap_err().to_string()
}

#[test]
fn what_is_not_there_is_told_and_asked_for_once() {
    let (server, _keep, fetched) = visit(|_, _| Answer::status(404));
    assert!(
        fetched
            .unwrap_err()
            .to_string()
            .ends_with("no such repository or revision (404)")
    );
    assert_eq!(server.requests().len(), 1);
    let error = refusal(|request, answer| match request.method.as_str() {
        "HEAD" => Answer::status(404),
        _ => answer,
    });
    assert!(error.contains("no such file"), "{error}");
}

#[test]
fn a_private_repository_asks_for_a_token() {
    let error = refusal(|_, _| Answer::status(401));
    assert!(
        error.contains("(401)") && error.ends_with("no token was sent, HF_TOKEN takes one"),
        "{error}"
    );

    let server = Server::start(small("a/b"), |request, answer| {
        match request.headers.get("authorization").map(String::as_str) {
            Some("Bearer hf_good") => answer,
            _ if request.delivery => answer,
            _ => Answer::status(403),
        }
    });
    let mut visitor = Visitor::of(&server);
    visitor.settings.token = Some("hf_bad".into());
    let error = visitor.refusal("hf://a/b");
    assert!(
        error.ends_with("the token that was sent does not open it"),
        "{error}"
    );
    assert!(!error.contains("hf_bad"));
    visitor.settings.token = Some("hf_good".into());
    assert_whole(&visitor.fetch("hf://a/b").unwrap());
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let server = Server::start(small("a/b"), as_the_hub_does);
    let mut visitor = Visitor::of(&server);
    visitor.settings.token = Some("hf_mine".into());
    visitor.fetch("hf://a/b").unwrap();
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.delivery));
    for request in &requests {
        let sent = request.headers.contains_key("authorization");
        assert_eq!(sent, !request.delivery, "{request:?}");
    }
}

#[test]
fn too_many_requests_are_made_more_slowly() {
    let (_server, _keep, fetched) = visit(|request, answer| match request.nth {
        0 => Answer::status(429).with("Retry-After", 0),
        _ => answer,
    });
    assert_whole(&fetched.unwrap());

    let (server, _keep, fetched) = visit(|_, _| Answer::status(429).with("Retry-After", 3600));
    let error = fetched.unwrap_err().to_string();
    assert!(
        error.ends_with("too many requests (429), after 1 attempts; try again in 3600 s"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let (_server, _keep, fetched) = visit(|request, answer| match request.nth {
        0 | 1 => Answer::status(503),
        _ => answer,
    });
    assert_whole(&fetched.unwrap());
    let error = refusal(|_, _| Answer::status(500));
    assert!(
        error.ends_with("the server answers with status 500"),
        "{error}"
    );
}

#[test]
fn a_renamed_repository_is_followed() {
    let (_server, _keep, fetched) = visit(|request, answer| {
        let old = request.path.replace("/a/b/", "/moved/b/");
        if request.path.contains("/a/b/") && request.nth == 0 {
            return Answer::status(307).with("Location", old);
        }
        answer
    });
    // There is no such repository, so that the hub says 404 at the new place, and only there.
    assert!(matches!(fetched, Err(HubError::NotFound { .. })));

    let (_server, _keep, fetched) = visit(|request, answer| match request.nth {
        0 => Answer::status(307).with("Location", &request.path),
        _ => answer,
    });
    assert_whole(&fetched.unwrap());
}

#[test]
fn redirects_have_an_end() {
    let error = refusal(|request, _| Answer::status(307).with("Location", &request.path));
    assert!(error.ends_with("more than 5 redirects"), "{error}");
    let error = refusal(|_, _| Answer::status(302));
    assert!(
        error.ends_with("a redirect without a place to go to"),
        "{error}"
    );
}

// ---------------------------------------------------------------- wrong content

#[test]
fn other_content_than_announced_is_not_kept() {
    for file in ["model.pth", "features.json"] {
        let (_server, visitor, fetched) = visit(move |request, mut answer| {
            if request.method == "GET" && request.path.ends_with(file) && !answer.body.is_empty() {
                answer.body[0] ^= 1;
            }
            answer
        });
        let error = fetched.unwrap_err();
        let kind = if file == "model.pth" {
            "SHA-256"
        } else {
            "git blob id"
        };
        assert!(error.to_string().contains(kind), "{error}");
        let snapshot = visitor.folder("a/b").join("snapshots").join(COMMIT);
        assert!(!snapshot.join(file).exists());
        let left: Vec<_> = fs::read_dir(visitor.folder("a/b").join("blobs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".incomplete"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(
            visitor
                .folder("a/b")
                .join("refs")
                .symlink_metadata()
                .is_err()
        );
    }
}

#[test]
fn a_length_that_head_leaves_out_is_found_by_fetching() {
    let (server, _visitor, fetched) = visit(|request, mut answer| {
        answer.without_length = request.method == "HEAD";
        answer
    });
    assert_whole(&fetched.unwrap());
    assert_eq!(server.count("HEAD", "features.json"), 1);
    assert_eq!(server.count("GET", "features.json"), 2);
}

#[test]
fn a_body_that_is_compressed_unasked_is_refused_by_name() {
    let error = refusal(|request, answer| match request.delivery {
        true => answer.with("Content-Encoding", "gzip"),
        false => answer,
    });
    assert!(
        error.contains("sends the file compressed (\"gzip\")"),
        "{error}"
    );
}

#[test]
fn fewer_bytes_than_announced_are_a_cut_connection() {
    let error = refusal(|request, mut answer| {
        if request.delivery {
            answer.body.truncate(answer.body.len().saturating_sub(10));
            if request.range().is_some() {
                answer.body.clear();
            }
        }
        answer
    });
    assert!(error.contains("after 5 attempts"), "{error}");
}

#[test]
fn more_bytes_than_announced_are_refused() {
    let error = refusal(|request, mut answer| {
        if request.delivery {
            answer.body.extend([0; 10]);
        }
        answer
    });
    assert!(
        error.ends_with("more came than the 1200000 bytes announced"),
        "{error}"
    );
}

#[test]
fn a_file_too_large_is_not_fetched() {
    let (server, _keep, fetched) = visit(|_, mut answer| {
        for (name, value) in &mut answer.headers {
            if name == "X-Linked-Size" {
                *value = (1u64 << 40).to_string();
            }
        }
        answer
    });
    assert!(matches!(fetched, Err(HubError::TooLarge { .. })));
    assert_eq!(server.count("GET", "model.pth"), 0);
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    for name in ["X-Linked-ETag", "X-Repo-Commit"] {
        let error = refusal(move |_, mut answer| {
            for (header, value) in &mut answer.headers {
                if header == name {
                    *value = "../../../x".into();
                }
            }
            answer
        });
        assert!(error.contains("expected hexadecimal digits"), "{error}");
    }
    let error = refusal(|_, mut answer| {
        let listing = String::from_utf8_lossy(&answer.body).replace(COMMIT, "..");
        answer.body = listing.into_bytes();
        answer
    });
    assert!(error.contains("the commit is \"..\""), "{error}");
}

#[test]
fn an_answer_of_another_commit_is_refused() {
    let error = refusal(|_, mut answer| {
        for (header, value) in &mut answer.headers {
            if header == "X-Repo-Commit" {
                *value = "ab".repeat(20);
            }
        }
        answer
    });
    assert!(
        error.contains("was asked for, the answer is of abab"),
        "{error}"
    );
}

#[test]
fn a_listing_that_is_none_is_refused() {
    let error = refusal(|_, mut answer| {
        answer.body = b"<html>".to_vec();
        answer
    });
    assert!(error.contains("not the hub's list of files"), "{error}");
}
