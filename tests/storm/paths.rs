//! The paths from a region's processes to a cluster: connections through the test, which may hold what is on its way, be late, or be
//! closed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// What is sent is so late, at most.
    Open(Duration),
    /// Nothing arrives, and connections stay. What was sent arrives once it is open again, however long its sender has given up.
    Held,
    /// Connections are closed, with all that was on its way, and none is to be had.
    Closed,
}

impl State {
    pub const FINE: State = State::Open(Duration::ZERO);
}

pub struct Path {
    pub address: SocketAddr,
    state: watch::Sender<State>,
}

impl Path {
    pub async fn to(cluster: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let path = Path { address: listener.local_addr()?, state: watch::Sender::new(State::FINE) };
        let mut state = path.state.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *state.borrow_and_update() == State::Closed {
                    continue;
                }
                let (passing, mut closing) = (state.clone(), state.clone());
                tokio::spawn(async move {
                    // What goes wrong with a connection is what its ends hear of.
                    tokio::select! {
                        _ = pass(near, cluster, passing) => {}
                        _ = closing.wait_for(|state| *state == State::Closed) => {}
                    }
                });
            }
        });
        Ok(path)
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn pass(
    near: TcpStream,
    cluster: SocketAddr,
    state: watch::Receiver<State>,
) -> io::Result<()> {
    let far = TcpStream::connect(cluster).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let (there, back) =
        (pump(near_read, far_write, state.clone()), pump(far_read, near_write, state));
    tokio::try_join!(there, back).map(drop)
}

/// What was sent first arrives first.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut sent = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut sent).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let now = *state.borrow();
        if let State::Open(late) = now
            && !late.is_zero()
        {
            let late = rand::rng().random_range(Duration::ZERO..=late);
            sleep(late).await;
        }
        // Its sender lives as long as the test.
        let _ = state.wait_for(|state| *state != State::Held).await;
        to.write_all(&sent[..length]).await?;
    }
}
