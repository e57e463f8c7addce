//! Work on all processors where there is enough of it. The answers are in the order of the items, whatever ran first: what is
//! pure stays pure.

/// Work, in the caller's unit (about one per byte), that one processor does while another is started and joined.
const WORTH_A_THREAD: usize = 64 * 1024;

/// `answer` of every item, in order. `weight` is about how many bytes an item makes it look at.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    weight: impl Fn(&T) -> usize,
    answer: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let total: usize = items.iter().map(&weight).sum();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = processors.min(total / WORTH_A_THREAD + 1);
    if parts < 2 {
        return items.iter().map(answer).collect();
    }
    let parts = split(items, weight, total, parts);
    let answer = &answer;
    std::thread::scope(|scope| {
        let running: Vec<_> =
            parts.iter().map(|part| scope.spawn(move || part.iter().map(answer).collect::<Vec<R>>())).collect();
        running
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Runs of items of about the same weight, in order.
fn split<T>(items: &[T], weight: impl Fn(&T) -> usize, total: usize, parts: usize) -> Vec<&[T]> {
    let mut runs = Vec::new();
    let (mut start, mut heavy) = (0, 0);
    for (index, item) in items.iter().enumerate() {
        heavy += weight(item);
        if heavy * parts >= total || index + 1 == items.len() {
            runs.push(&items[start..=index]);
            (start, heavy) = (index + 1, 0);
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weighs_nothing_is_done_here() {
        let here = std::thread::current().id();
        let items = [0; 3];
        assert_eq!(map(&items, |_| 0, |_| std::thread::current().id()), [here; 3]);
    }

    #[test]
    fn answers_come_in_order_and_each_once_however_heavy_the_items_are() {
        for heavy in [0, 1, 100, WORTH_A_THREAD] {
            for count in [0, 1, 2, 3, 100] {
                let items: Vec<usize> = (0..count).collect();
                let doubled = map(&items, |item| heavy * (item % 3), |item| item * 2);
                assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
            }
        }
    }
}
