//! A small server that speaks the hub's protocol on 127.0.0.1, and misbehaves where told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use circuitcheck::inputs::model::sha256;
use sha1::{Digest, Sha1};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// How many came before with this method and path.
    pub nth: usize,
    /// Whether it came to the delivery network.
    pub delivery: bool,
}

impl Request {
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    pub fn range(&self) -> Option<usize> {
        let range = self.headers.get("range")?;
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Length announced, where it is not the body's.
    pub announced: Option<usize>,
    /// Whether the length is left out.
    pub without_length: bool,
    /// Bytes after which the connection is cut.
    pub cut: Option<usize>,
    /// Bytes sent at a time, and the pause after each.
    pub trickle: Option<(usize, Duration)>,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A repository at one commit.
#[derive(Clone)]
pub struct Repository {
    pub name: String,
    pub commit: String,
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Git's id of a file.
pub fn git_id(bytes: &[u8]) -> String {
    let digest = Sha1::new()
        .chain_update(format!("blob {}\0", bytes.len()))
        .chain_update(bytes)
        .finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a request is answered with in place of what the hub would say. It may change that.
type Fault = dyn Fn(&Request, Answer) -> Answer + Send + Sync;

pub struct Server {
    pub endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    ports: [String; 2],
}

impl Server {
    /// A hub with this repository, and beside it, on another port, the network that delivers its large
    /// files (those of weights).
    pub fn start(
        repository: Repository,
        fault: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let fault: Arc<Fault> = Arc::new(fault);
        let repository = Arc::new(repository);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [0, 1].map(|at: usize| listeners[at].local_addr().unwrap().to_string());
        let delivery = format!("http://{}", ports[1]);
        for (at, listener) in listeners.into_iter().enumerate() {
            let (fault, repository) = (Arc::clone(&fault), Arc::clone(&repository));
            let (requests, stop) = (Arc::clone(&requests), Arc::clone(&stop));
            let delivery = delivery.clone();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let Ok(stream) = stream else { continue };
                    let (fault, repository) = (Arc::clone(&fault), Arc::clone(&repository));
                    let requests = Arc::clone(&requests);
                    let delivery = delivery.clone();
                    thread::spawn(move || {
                        let Some(mut request) = read(&stream) else {
                            return;
                        };
                        request.delivery = at == 1;
                        {
                            let mut requests = requests.lock().unwrap();
                            let same = |r: &&Request| r.is(&request.method, &request.path);
                            request.nth = requests.iter().filter(same).count();
                            requests.push(request.clone());
                        }
                        let answer = usual(&repository, &request, &delivery);
                        // The other side may have hung up.
                        let _ = write(&stream, &request, &fault(&request, answer));
                    });
                }
            });
        }
        Self {
            endpoint: format!("http://{}", ports[0]),
            requests,
            stop,
            ports,
        }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Requests of this method whose path ends so.
    pub fn count(&self, method: &str, ending: &str) -> usize {
        let requests = self.requests();
        let counted = |r: &&Request| r.method == method && r.path.ends_with(ending);
        requests.iter().filter(counted).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for port in &self.ports {
            let _ = TcpStream::connect(port);
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    Some(Request {
        method,
        path,
        headers,
        nth: 0,
        delivery: false,
    })
}

/// What the hub says.
fn usual(repository: &Repository, request: &Request, delivery: &str) -> Answer {
    let Repository {
        name,
        commit,
        files,
    } = repository;
    if let Some(file) = request.path.strip_prefix("/delivered/") {
        return content(&files[file], request.range());
    }
    let revisions = ["main", commit.as_str(), "refs%2Fpr%2F1"];
    for revision in revisions {
        if request.path == format!("/api/models/{name}/revision/{revision}") {
            let siblings: Vec<String> = files
                .keys()
                .map(|file| format!("{{\"rfilename\": {file:?}}}"))
                .collect();
            let siblings = siblings.join(", ");
            let body =
                format!("{{\"id\": {name:?}, \"sha\": {commit:?}, \"siblings\": [{siblings}]}}");
            return Answer {
                body: body.into_bytes(),
                ..Answer::status(200)
            };
        }
        let prefix = format!("/{name}/resolve/{revision}/");
        let Some(file) = request.path.strip_prefix(&prefix) else {
            continue;
        };
        let Some(bytes) = files.get(file) else {
            return Answer::status(404).with("X-Error-Code", "EntryNotFound");
        };
        return if file.ends_with(".pth") {
            Answer::status(302)
                .with("X-Repo-Commit", commit)
                .with("X-Linked-ETag", format!("\"{}\"", sha256(bytes)))
                .with("X-Linked-Size", bytes.len())
                .with("Location", format!("{delivery}/delivered/{file}"))
        } else {
            content(bytes, request.range())
                .with("X-Repo-Commit", commit)
                .with("ETag", format!("\"{}\"", git_id(bytes)))
        };
    }
    Answer::status(404).with("X-Error-Code", "RepoNotFound")
}

fn content(bytes: &[u8], range: Option<usize>) -> Answer {
    match range {
        Some(from) if from < bytes.len() => Answer {
            body: bytes[from..].to_vec(),
            ..Answer::status(206)
        }
        .with(
            "Content-Range",
            format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()),
        ),
        Some(_) => Answer::status(416),
        None => Answer {
            body: bytes.to_vec(),
            ..Answer::status(200)
        },
    }
}

fn write(mut stream: &TcpStream, request: &Request, answer: &Answer) -> std::io::Result<()> {
    let announced = answer.announced.unwrap_or(answer.body.len());
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", answer.status);
    if !answer.without_length {
        head += &format!("Content-Length: {announced}\r\n");
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if answer.cut == Some(0) && answer.body.is_empty() {
        return Ok(());
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let body = &answer.body[..answer
        .cut
        .unwrap_or(answer.body.len())
        .min(answer.body.len())];
    let (size, pause) = answer
        .trickle
        .unwrap_or((body.len().max(1), Duration::ZERO));
    for chunk in body.chunks(size) {
        stream.write_all(chunk)?;
        stream.flush()?;
        thread::sleep(pause);
    }
    Ok(())
}
