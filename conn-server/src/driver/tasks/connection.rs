//! One connection's task: it receives when the socket has something, sends what the core has queued, one send at a time,
//! and closes the socket when both have ended.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use chat::ConnKey;

use super::lent::Lent;
use super::{Running, Runtime, Tasks};

/// A connection's task.
#[allow(
    clippy::manual_async_fn,
    reason = "an async fn keeps its arguments twice, and what is kept here is kept by every idle connection"
)]
pub(super) fn serve<R: Runtime>(
    tasks: Rc<Tasks>,
    key: ConnKey,
    stream: R::Stream,
) -> impl Future<Output = ()> {
    async move {
        let _running = Running::new(&tasks);
        {
            let mut receiving = pin!(async {
                while poll_fn(|_| tasks.core.borrow_mut().poll_receive(key)).await {
                    // An error shows in the receive too, which tells it apart.
                    let _ = R::readable(&stream).await;
                    tasks.core.borrow_mut().receive(key, R::file(&stream));
                }
            });
            let mut sending = pin!(async {
                while let Some(lent) = poll_fn(|_| tasks.core.borrow_mut().poll_send(key)).await {
                    let (result, lent) = match lent {
                        Lent::One(slice) => {
                            let (result, slice) = R::send(&stream, slice).await;
                            (result, Lent::One(slice))
                        }
                        Lent::Many(vector) => {
                            let (result, vector) = R::send_vectored(&stream, vector).await;
                            (result, Lent::Many(vector))
                        }
                    };
                    tasks.core.borrow_mut().on_sent(key, lent, result);
                }
            });
            let (mut is_receiving, mut is_sending) = (true, true);
            poll_fn(|cx| {
                tasks.step(key, R::file(&stream), cx.waker());
                is_receiving = is_receiving && receiving.as_mut().poll(cx).is_pending();
                is_sending = is_sending && sending.as_mut().poll(cx).is_pending();
                if is_receiving || is_sending { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
        drop(stream);
        tasks.core.borrow_mut().on_closed(key);
    }
}
