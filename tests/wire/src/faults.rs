use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::code::Code;
use crate::store::Digest;

/// What a request is, for rules that mean only some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What connecting and tending ask.
    Info,
    /// Logging in.
    Admin,
    /// A get or an exists, also as operations that only read.
    Read,
    /// Writes of plain values, and touches.
    Write,
    /// Removes a record.
    Delete,
    /// Operations that read and write, or compute; also what could not be understood.
    Operate,
    /// Any of these on several keys.
    Batch,
    /// One row of a batch. It can be refused (`Fail`), and nothing else.
    Row,
}

/// What a rule can tell requests apart by.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which connection it came on, counted from 1 since the server started.
    pub connection: u64,
    /// What it is.
    pub kind: Kind,
    /// Its namespace; empty for info and admin.
    pub namespace: String,
    /// Its set; empty for info and admin, for none, and for a batch over several.
    pub set: String,
    /// Its keys: one, in a batch any number, for info and admin none.
    pub digests: Vec<Digest>,
    /// Its user keys, where they were sent along: particle type, then bytes.
    pub keys: Vec<Vec<u8>>,
    /// The bins of its operations, in order.
    pub bins: Vec<String>,
}

/// What happens to a connection whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is closed.
    Close,
    /// It stays open, and silent about this request.
    Silence,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Action {
    /// The request is applied, its answer lost.
    DropReply(Then),
    /// The request is lost: neither applied nor answered.
    DropRequest(Then),
    /// The request is applied so much later.
    Delay(Duration),
    /// The request is applied at once and answered so much later.
    DelayReply(Duration),
    /// The request is applied when the gate opens, even where its client has long given up.
    HoldBefore(Gate),
    /// The request is applied at once and answered when the gate opens.
    HoldAfter(Gate),
    /// The request is applied; so many bytes of its answer are sent, then the connection is closed.
    CutReply(usize),
    /// From this request on the connection neither reads nor writes, and stays open.
    Stall,
    /// The request is not applied, and refused with this code.
    Fail(Code),
}

/// Holds requests until a test lets them through. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<(watch::Sender<bool>, watch::Sender<u64>)>);

impl Default for Gate {
    fn default() -> Self {
        Gate::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Gate(Arc::new((watch::Sender::new(false), watch::Sender::new(0))))
    }

    /// Lets all through, now and later.
    pub fn open(&self) {
        self.0.0.send_replace(true);
    }

    /// Returns once so many requests have come to the gate.
    pub async fn reached(&self, count: u64) {
        // The sender lives as long as the gate.
        let _ = self.0.1.subscribe().wait_for(|so_far| *so_far >= count).await;
    }

    async fn pass(&self) {
        self.0.1.send_modify(|so_far| *so_far += 1);
        let _ = self.0.0.subscribe().wait_for(|open| *open).await;
    }
}

type Predicate = Box<dyn Fn(&Request) -> bool + Send + Sync>;

/// A fault and the requests it befalls: the next command, unless narrowed or widened. Info and admin
/// are left alone unless they are named, since the client asks for them when it likes; so are rows of a batch.
#[must_use]
pub struct Rule {
    action: Action,
    kind: Option<Kind>,
    predicates: Vec<Predicate>,
    times: u64,
}

impl Rule {
    /// This befalls the next command.
    pub fn new(action: Action) -> Self {
        Rule { action, kind: None, predicates: Vec::new(), times: 1 }
    }

    /// Only requests of this kind.
    pub fn on(self, kind: Kind) -> Self {
        Rule { kind: Some(kind), ..self }
    }

    /// Only requests on this connection.
    pub fn connection(self, number: u64) -> Self {
        self.when(move |request| request.connection == number)
    }

    /// Only requests on this key.
    pub fn key(self, digest: Digest) -> Self {
        self.when(move |request| request.digests.contains(&digest))
    }

    /// Only requests of which this is true.
    pub fn when(mut self, predicate: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.predicates.push(Box::new(predicate));
        self
    }

    /// So many requests instead of one.
    pub fn times(self, times: u64) -> Self {
        Rule { times, ..self }
    }

    /// Every request.
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn means(&self, request: &Request) -> bool {
        let is_named = matches!(request.kind, Kind::Info | Kind::Admin | Kind::Row);
        self.kind.map_or(!is_named, |kind| kind == request.kind)
            && self.predicates.iter().all(|is| is(request))
    }
}

/// A rule in force: tells how often it was applied.
#[derive(Clone, Debug)]
pub struct Fault(Arc<AtomicU64>);

impl Fault {
    /// How many requests it has befallen.
    pub fn happened(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The faults of a server. Where several rules mean a request, the oldest befalls it. Clones are
/// the same faults.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<(Rule, Fault)>>>);

impl Faults {
    /// Puts a rule in force.
    pub fn add(&self, rule: Rule) -> Fault {
        let fault = Fault(Arc::default());
        self.0.lock().push((rule, fault.clone()));
        fault
    }

    /// Ends all rules. What is held at a gate stays there.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// What befalls a request. It is looked at only where there are rules.
    pub(crate) fn befall(&self, request: impl FnOnce() -> Request) -> Option<Action> {
        let mut rules = self.0.lock();
        if rules.is_empty() {
            return None;
        }
        let request = request();
        let at = rules.iter().position(|(rule, _)| rule.means(&request))?;
        let (rule, fault) = &mut rules[at];
        fault.0.fetch_add(1, Ordering::SeqCst);
        let action = rule.action.clone();
        rule.times -= 1;
        if rule.times == 0 {
            drop(rules.remove(at));
        }
        Some(action)
    }
}

/// What becomes of a request before it is applied.
pub(crate) enum Fate {
    Apply,
    Refuse(Code),
    Lose(Then),
}

/// What becomes of an answer.
pub(crate) enum Delivery {
    Send,
    Cut(usize),
    Lose(Then),
}

impl Action {
    pub(crate) async fn before(&self) -> Fate {
        match self {
            Action::Delay(by) => tokio::time::sleep(*by).await,
            Action::HoldBefore(gate) => gate.pass().await,
            Action::Stall => std::future::pending().await,
            Action::DropRequest(then) => return Fate::Lose(*then),
            Action::Fail(code) => return Fate::Refuse(*code),
            _ => {}
        }
        Fate::Apply
    }

    pub(crate) async fn after(&self) -> Delivery {
        match self {
            Action::DelayReply(by) => tokio::time::sleep(*by).await,
            Action::HoldAfter(gate) => gate.pass().await,
            Action::CutReply(bytes) => return Delivery::Cut(*bytes),
            Action::DropReply(then) => return Delivery::Lose(*then),
            _ => {}
        }
        Delivery::Send
    }
}
