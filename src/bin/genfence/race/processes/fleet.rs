//! The processes: started, stopped for a while, and ended, whatever comes.

use std::env;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

use super::super::{Failure, dice};
use super::PROCESS;
use super::talk::Task;
use crate::system::{STOPS, Signal, signal};

/// How long they may take to end by themselves.
const ENDING: Duration = Duration::from_secs(5);

/// Ended with this, also those that are stopped.
pub struct Fleet(Mutex<Vec<Process>>);

struct Process {
    child: Child,
    /// It ends when this is closed.
    _told: ChildStdin,
}

impl Fleet {
    pub async fn start(tasks: impl IntoIterator<Item = Task>) -> Result<Self, Failure> {
        let program = env::current_exe()?;
        let mut processes = Vec::new();
        for task in tasks {
            let mut child = Command::new(&program)
                .arg(PROCESS)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
            let mut told = child.stdin.take().ok_or("a process has no input")?;
            // Not as an argument, which everybody may read: a URL has passwords.
            let mut task = serde_json::to_vec(&task)?;
            task.push(b'\n');
            told.write_all(&task).await?;
            processes.push(Process { child, _told: told });
        }
        Ok(Fleet(Mutex::new(processes)))
    }

    /// The first that ended, and how.
    pub fn ended(&self) -> Option<String> {
        let mut processes = self.0.lock();
        processes.iter_mut().enumerate().find_map(|(number, process)| {
            let status: ExitStatus = process.child.try_wait().ok()??;
            Some(format!("process {} of the race ended: {status}", number + 1))
        })
    }

    fn signal(&self, number: usize, what: Signal) {
        // None: it was waited for, and the number may be another's.
        if let Some(id) = self.0.lock()[number].child.id() {
            signal(id, what);
        }
    }

    /// Stops one after the other for longer than copies live, for ever.
    pub async fn pauses(&self, near: Duration) {
        let count = self.0.lock().len();
        while STOPS {
            sleep(near.mul_f64(dice::between(1.0..3.0))).await;
            let number = dice::pick(count);
            self.signal(number, Signal::Stop);
            sleep(near.mul_f64(dice::between(1.2..2.5))).await;
            self.signal(number, Signal::GoOn);
        }
        std::future::pending::<()>().await;
    }

    /// Waits until all have ended, who were told that they may.
    pub async fn end(self) {
        let count = self.0.lock().len();
        (0..count).for_each(|number| self.signal(number, Signal::GoOn));
        let mut processes = self.0.into_inner();
        let all = async {
            for process in &mut processes {
                let _: Result<_, _> = process.child.wait().await;
            }
        };
        // Who is not done by then is killed when it is dropped.
        let _: Result<(), _> = timeout(ENDING, all).await;
    }
}
