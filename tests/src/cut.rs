//! A wire before a node's port that a test can cut and mend.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes connections on to a node while it is whole. What runs over it ends when it is cut, and
/// whoever connects meanwhile finds it closed at once.
pub struct Cut {
    address: String,
    wires: Arc<Mutex<Wires>>,
    passed: Arc<AtomicU64>,
}

#[derive(Default)]
struct Wires {
    is_cut: bool,
    /// Both ends of each connection, to be ended by a cut.
    open: Vec<TcpStream>,
}

impl Cut {
    /// A wire that leads to `target`, `host:port`.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let wires = Arc::new(Mutex::new(Wires::default()));
        let (target, shared) = (target.to_owned(), wires.clone());
        let passed = Arc::new(AtomicU64::new(0));
        let count = passed.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for incoming in listener.incoming() {
                let Ok(incoming) = incoming else { return };
                let Ok(outgoing) = TcpStream::connect(&target) else { continue };
                // A lock poisoned by a failed test is the end of the test anyway.
                let Ok(mut wires) = shared.lock() else { return };
                if !wires.is_cut {
                    join(&mut wires.open, &incoming, &outgoing, &count);
                }
            }
        });
        Self { address, wires, passed }
    }

    /// `host:port` of its near end.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends what runs over it, and lets nothing new through.
    ///
    /// # Panics
    /// When the wire's thread panicked.
    pub fn cut(&self) {
        let mut wires = self.wires.lock().unwrap();
        wires.is_cut = true;
        for wire in wires.open.drain(..) {
            let _ = wire.shutdown(Shutdown::Both);
        }
    }

    /// Bytes that have passed so far, in both directions.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Lets connections through again.
    ///
    /// # Panics
    /// When the wire's thread panicked.
    pub fn mend(&self) {
        self.wires.lock().unwrap().is_cut = false;
    }
}

/// Passes bytes both ways, each on a thread of its own.
fn join(open: &mut Vec<TcpStream>, near: &TcpStream, far: &TcpStream, count: &Arc<AtomicU64>) {
    for (from, to) in [(near, far), (far, near)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let count = count.clone();
        thread::spawn(move || drop(pass(from, to, &count)));
    }
    open.extend([near.try_clone(), far.try_clone()].into_iter().flatten());
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    loop {
        let n = from.read(&mut bytes)?;
        if n == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&bytes[..n])?;
        count.fetch_add(n as u64, Ordering::Relaxed);
    }
}
