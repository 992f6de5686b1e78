use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::{io, mem};

use bytes::{BufMut, Bytes};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::batch::{Batch, Row};
use crate::clock::Clock;
use crate::cluster::{self, Place, Progress, State};
use crate::code::Code;
use crate::faults::{Action, Delivery, Fate, Faults, Kind, Request, Then};
use crate::info;
use crate::message::{Message, Op, Reply, info1, info2, op};
use crate::security::{self, Sessions, Visitor};
use crate::store::{Config, Digest, Record, Store};

/// The frame of every message: version, type, length in six bytes.
const VERSION: u8 = 2;
const TYPE_INFO: u8 = 1;
const TYPE_ADMIN: u8 = 2;
const TYPE_MESSAGE: u8 = 3;

/// What the client itself takes for a corrupt length (`MAX_BUFFER_SIZE` in `commands/buffer.rs`).
const MAX_MESSAGE: u64 = 120 << 20;

/// A running node, by itself or of a [`Cluster`](crate::Cluster), on a port of the loopback address. It ends when this is
/// dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<JoinHandle<()>>,
}

/// A port that is taken.
pub(crate) struct Listener {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Listener {
    pub async fn bind(port: u16) -> io::Result<Listener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Listener { address: listener.local_addr()?, listener })
    }
}

struct Shared {
    cluster: Arc<cluster::Shared>,
    at: Place,
    sessions: Mutex<Sessions>,
    clock: Clock,
    faults: Faults,
    /// Changes when all connections are to be closed.
    restarts: watch::Sender<u64>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: u64,
    requests: HashMap<Kind, u64>,
}

impl Shared {
    fn store(&self) -> MappedMutexGuard<'_, Store> {
        MutexGuard::map(self.cluster.nodes.lock(), |nodes| &mut nodes.node_mut(self.at).store)
    }
}

impl Server {
    /// Starts a server with the default configuration and the system's clock, on a free port.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start() -> io::Result<Server> {
        Server::start_with(Config::default(), Clock::system(), 0).await
    }

    /// Starts a server on this port of the loopback address, 0 for a free one.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub async fn start_with(config: Config, clock: Clock, port: u16) -> io::Result<Server> {
        let listener = Listener::bind(port).await?;
        let alone = cluster::Shared::new(&[listener.address], &config);
        Ok(Server::new(listener, alone, 0, clock))
    }

    pub(crate) fn new(
        listener: Listener,
        cluster: Arc<cluster::Shared>,
        at: Place,
        clock: Clock,
    ) -> Server {
        let shared = Arc::new(Shared {
            cluster,
            at,
            sessions: Mutex::default(),
            clock,
            faults: Faults::default(),
            restarts: watch::Sender::new(0),
            counts: Mutex::default(),
        });
        let Listener { address, listener } = listener;
        let accepting = Mutex::new(tokio::spawn(accept(listener, Arc::clone(&shared))));
        Server { address, shared, accepting }
    }

    /// Takes no connections any more, and ends those that are there.
    pub(crate) async fn close(&self) {
        let accepting = std::mem::replace(&mut *self.accepting.lock(), tokio::spawn(async {}));
        accepting.abort();
        // Its port is free once it has ended.
        let _ = accepting.await;
        self.restart();
    }

    /// Takes connections again.
    pub(crate) async fn open(&self) -> io::Result<()> {
        let Listener { listener, .. } = Listener::bind(self.address.port()).await?;
        *self.accepting.lock() = tokio::spawn(accept(listener, Arc::clone(&self.shared)));
        Ok(())
    }

    /// Where it listens: what a client takes for its seed host.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Its faults.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Changes its configuration while it runs.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.shared.store().config);
    }

    /// All records, also those expired and not reaped.
    pub fn records(&self) -> HashMap<Digest, Record> {
        self.shared.store().records.clone()
    }

    /// One record, also where it has expired and was not reaped.
    pub fn record(&self, digest: &Digest) -> Option<Record> {
        self.shared.store().records.get(digest).cloned()
    }

    /// Removes a record as if it was evicted. Tells whether it was there.
    pub fn evict(&self, digest: &Digest) -> bool {
        self.shared.store().records.remove(digest).is_some()
    }

    /// Removes all records. Tells how many there were.
    pub fn evict_all(&self) -> usize {
        mem::take(&mut self.shared.store().records).len()
    }

    /// Removes what has expired, as a real server's reaper does. Tells how many.
    pub fn reap(&self) -> usize {
        let now = self.shared.clock.now();
        self.shared.store().records.extract_if(|_, record| record.is_expired(now)).count()
    }

    /// Gives a record another generation. Tells whether it was there.
    pub fn set_generation(&self, digest: &Digest, generation: u16) -> bool {
        let mut store = self.shared.store();
        store.records.get_mut(digest).map(|record| record.generation = generation).is_some()
    }

    /// From now on new records begin at generation 65530, six writes before the wrap.
    pub fn force_generation_near_wrap(&self) {
        self.configure(|config| config.first_generation = 65530);
    }

    /// Closes all connections and keeps the records. What is held at a gate is lost.
    pub fn restart(&self) {
        self.shared.restarts.send_modify(|restarts| *restarts += 1);
    }

    /// Closes all connections and loses all records.
    pub fn restart_empty(&self) {
        self.restart();
        self.evict_all();
    }

    /// How many requests of a kind came, also those that faults befell.
    pub fn requests(&self, kind: Kind) -> u64 {
        self.shared.counts.lock().requests.get(&kind).copied().unwrap_or_default()
    }

    /// How many connections were opened since the server started.
    pub fn connections(&self) -> u64 {
        self.shared.counts.lock().connections
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.lock().abort();
        self.restart();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let number = {
            let mut counts = shared.counts.lock();
            counts.connections += 1;
            counts.connections
        };
        let shared = Arc::clone(&shared);
        let mut restarts = shared.restarts.subscribe();
        tokio::spawn(async move {
            // The client hanging up, in whatever way, is no fault of the server's.
            tokio::select! {
                _ = welcome(stream, number, &shared) => {}
                _ = restarts.changed() => {}
            }
        });
    }
}

/// Encrypts the connection where the server speaks TLS.
async fn welcome(stream: TcpStream, connection: u64, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let tls = shared.store().config.tls.clone();
    let Some(tls) = tls else {
        return serve(stream, connection, Visitor::default(), shared).await;
    };
    let stream = tls.accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let visitor = Visitor::encrypted(shown.map(|certificate| certificate.to_vec()));
    serve(stream, connection, visitor, shared).await
}

/// Answers one connection, one request after the other, until either side closes it.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: u64,
    mut visitor: Visitor,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        let frame = stream.read_u64().await?;
        let [version, message_type, ..] = frame.to_be_bytes();
        let len = frame & 0xffff_ffff_ffff;
        if version != VERSION || len > MAX_MESSAGE {
            eprintln!("genfence-wire refuses: a frame of version {version} and {len} bytes");
            return Ok(());
        }
        let mut body = vec![0; usize::try_from(len).unwrap_or_default()];
        stream.read_exact(&mut body).await?;
        let command = match message_type {
            TYPE_INFO => Command::Info(String::from_utf8_lossy(&body).into_owned()),
            TYPE_ADMIN => Command::Admin(body.into()),
            TYPE_MESSAGE => Command::parse(body.into()),
            other => {
                eprintln!("genfence-wire refuses: messages of type {other}");
                return Ok(());
            }
        };
        *shared.counts.lock().requests.entry(command.kind()).or_default() += 1;
        let fault = shared.faults.befall(|| Request::of(connection, &command));
        let answer = match before(fault.as_ref()).await {
            Fate::Apply => answer(command, &mut visitor, shared).await,
            Fate::Refuse(code) => command.refuse(code),
            Fate::Lose(Then::Silence) => continue,
            Fate::Lose(Then::Close) => return Ok(()),
        };
        let delivery = after(fault.as_ref()).await;
        shared.runs().await;
        match delivery {
            Delivery::Send => send(&mut stream, &answer).await?,
            Delivery::Cut(bytes) => {
                return send(&mut stream, &answer[..bytes.min(answer.len())]).await;
            }
            Delivery::Lose(Then::Silence) => {}
            Delivery::Lose(Then::Close) => return Ok(()),
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.flush().await
}

async fn before(fault: Option<&Action>) -> Fate {
    match fault {
        Some(action) => action.before().await,
        None => Fate::Apply,
    }
}

async fn after(fault: Option<&Action>) -> Delivery {
    match fault {
        Some(action) => action.after().await,
        None => Delivery::Send,
    }
}

/// Runs a command, as soon as the node goes on and the other nodes that it needs can be reached.
async fn answer(command: Command, visitor: &mut Visitor, shared: &Shared) -> Vec<u8> {
    let mut changed = shared.cluster.changed.subscribe();
    let mut rows = command.begin(shared);
    loop {
        changed.mark_unchanged();
        if let Some(answer) = command.apply(&mut rows, visitor, shared) {
            return answer;
        }
        // The sender lives as long as the server.
        let _ = changed.changed().await;
    }
}

impl Shared {
    /// Returns once the node is not paused.
    async fn runs(&self) {
        let mut changed = self.cluster.changed.subscribe();
        while self.cluster.nodes.lock().node(self.at).state == State::Paused {
            let _ = changed.changed().await;
        }
    }
}

/// A request, understood or not.
enum Command {
    Info(String),
    Admin(Bytes),
    Single(Digest, Message),
    Batch(Batch),
    Refused(Code),
}

impl Command {
    fn parse(body: Bytes) -> Command {
        let message = match Message::parse(body) {
            Ok(message) => message,
            Err(code) => return Command::Refused(code),
        };
        if message.info1 & info1::BATCH != 0 {
            return Batch::parse(&message).map_or_else(Command::Refused, Command::Batch);
        }
        match message.fields.digest {
            Some(digest) => Command::Single(digest, message),
            None => Command::Refused(Code::refuse("a command without a digest: a scan or a query")),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Command::Single(_, message) => kind(message),
            Command::Info(_) => Kind::Info,
            Command::Admin(_) => Kind::Admin,
            Command::Batch(_) => Kind::Batch,
            Command::Refused(_) => Kind::Operate,
        }
    }

    /// How far its rows are before it runs: nowhere, but for those that are refused.
    fn begin(&self, shared: &Shared) -> Vec<Progress> {
        let refused = |row: &Row| match shared.faults.befall(|| Request::of_row(row)) {
            Some(Action::Fail(code)) => Progress::Done(code.into()),
            _ => Progress::Begun,
        };
        match self {
            Command::Single(..) => vec![Progress::Begun],
            Command::Batch(batch) => batch.rows.iter().map(refused).collect(),
            Command::Info(_) | Command::Admin(_) | Command::Refused(_) => Vec::new(),
        }
    }

    /// Runs it under the lock, as far as can be, and frames the answer. `None` if it is not done yet.
    fn apply(
        &self,
        progress: &mut [Progress],
        visitor: &mut Visitor,
        shared: &Shared,
    ) -> Option<Vec<u8>> {
        let mut nodes = shared.cluster.nodes.lock();
        let node = nodes.node(shared.at);
        if node.state == State::Paused {
            return None;
        }
        let now = shared.clock.now();
        let config = &node.store.config;
        if let Command::Admin(body) = self {
            let answer = shared.sessions.lock().answer(body.clone(), visitor, config, now);
            return Some(framed(TYPE_ADMIN, &answer));
        }
        if let Err(code) = visitor.check(config) {
            return Some(self.refuse(code));
        }
        let rows: Vec<(&Digest, &Message)> = match self {
            Command::Info(text) => {
                let told = info::answer(&nodes, shared.at, now, text);
                return Some(framed(TYPE_INFO, told.as_bytes()));
            }
            Command::Single(digest, message) => vec![(digest, message)],
            Command::Batch(batch) => {
                batch.rows.iter().map(|row| (&row.digest, &*row.message)).collect()
            }
            Command::Admin(_) => unreachable!("it was answered above"),
            Command::Refused(code) => return Some(self.refuse(*code)),
        };
        for ((digest, message), progress) in rows.into_iter().zip(&mut *progress) {
            nodes.advance(shared.at, digest, message, now, progress);
        }
        let done = progress.iter().map(|row| match row {
            Progress::Done(reply) => Some(reply),
            Progress::Begun | Progress::Applied(..) => None,
        });
        let replies: Vec<&Reply> = done.collect::<Option<_>>()?;
        let mut out = Vec::new();
        match self {
            Command::Batch(batch) => batch.write(&replies, &mut out),
            _ => replies[0].write(0, false, &mut out),
        }
        Some(framed(TYPE_MESSAGE, &out))
    }

    /// The answer of a server that does not run it.
    fn refuse(&self, code: Code) -> Vec<u8> {
        match self {
            // In these words clients know it by.
            Command::Info(_) if code == Code::NOT_AUTHENTICATED => {
                return framed(TYPE_INFO, b"ERROR:80:not authenticated\n");
            }
            Command::Info(_) => {
                return framed(TYPE_INFO, format!("ERROR:{}:refused\n", code.0).as_bytes());
            }
            Command::Admin(_) => return framed(TYPE_ADMIN, &security::refusal(code)),
            _ => {}
        }
        let mut out = Vec::new();
        Reply::from(code).write(0, matches!(self, Command::Batch(_)), &mut out);
        framed(TYPE_MESSAGE, &out)
    }
}

fn framed(message_type: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + body.len());
    out.put_slice(&[VERSION, message_type]);
    out.put_uint(body.len() as u64, 6);
    out.put_slice(body);
    out
}

impl Request {
    fn of_row(row: &Row) -> Request {
        Request {
            connection: 0,
            kind: Kind::Row,
            namespace: row.message.fields.namespace.clone(),
            set: row.message.fields.set.clone(),
            digests: vec![row.digest],
            keys: row.message.fields.key.iter().cloned().collect(),
            bins: row.message.ops.iter().map(|op| op.name.to_string()).collect(),
        }
    }

    fn of(connection: u64, command: &Command) -> Request {
        let messages: Vec<(Digest, &Message)> = match command {
            Command::Single(digest, message) => vec![(*digest, message)],
            Command::Batch(batch) => {
                batch.rows.iter().map(|row| (row.digest, &*row.message)).collect()
            }
            Command::Info(_) | Command::Admin(_) | Command::Refused(_) => Vec::new(),
        };
        let fields = |index: usize| messages.get(index).map(|(_, message)| &message.fields);
        let first = fields(0).cloned().unwrap_or_default();
        let one_set = messages.iter().all(|(_, message)| message.fields.set == first.set);
        Request {
            connection,
            kind: command.kind(),
            namespace: first.namespace,
            set: if one_set { first.set } else { String::new() },
            digests: messages.iter().map(|(digest, _)| *digest).collect(),
            keys: messages.iter().filter_map(|(_, message)| message.fields.key.clone()).collect(),
            bins: messages
                .iter()
                .flat_map(|(_, message)| message.ops.iter().map(|op| op.name.to_string()))
                .collect(),
        }
    }
}

fn kind(message: &Message) -> Kind {
    let writes_plainly = |op: &Op| matches!(op.kind, op::WRITE | op::TOUCH);
    if message.info2 & info2::DELETE != 0 {
        Kind::Delete
    } else if message.info2 & info2::WRITE == 0 {
        Kind::Read
    } else if message.ops.iter().all(writes_plainly) {
        Kind::Write
    } else {
        Kind::Operate
    }
}
