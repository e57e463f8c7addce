//! A TCP proxy that holds each byte back for half a round trip in each direction, as a long line does; bandwidth is not
//! limited. The handshake of TCP itself is answered at once: a real line adds one round trip to what is measured here.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// Starts the proxy on a free port and answers the port. It ends with the runtime.
pub async fn start(target: u16, one_way: Duration) -> std::io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                // Small writes go out at once; without it Nagle's algorithm would add its own delays.
                if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
                    return;
                }
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::join!(delay(near_read, far_write, one_way), delay(far_read, near_write, one_way));
            });
        }
    });
    Ok(port)
}

async fn delay(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf, one_way: Duration) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if sender.send((Instant::now() + one_way, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The other side closed or broke; so does this one, and nobody is left to be told.
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
