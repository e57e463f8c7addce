//! A fault: EC2 is eventually consistent (EC2 API reference, "Eventual consistency in the Amazon EC2 API"), so that what was made is not in
//! the describes for a while. moto's always are up to date. It is for the sorts whose creation has no client token: a describe that
//! missed one is what doubles it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header;
use hyper::body::Bytes;

use super::answer::Answer;

/// What lags: the call that makes it, the call that shows it, and the element with its id.
const SORTS: [(&str, &str, &str); 4] = [
    ("CreateVpc", "DescribeVpcs", "vpcId"),
    ("CreateInternetGateway", "DescribeInternetGateways", "internetGatewayId"),
    ("CreateSubnet", "DescribeSubnets", "subnetId"),
    ("AllocateAddress", "DescribeAddresses", "allocationId"),
];

/// How long, and what is that young.
#[derive(Default)]
pub(super) struct Lag {
    state: Mutex<(Duration, Vec<(String, Instant)>)>,
}

impl Lag {
    /// What is made from now on is not shown for so long; zero ends it.
    pub(super) fn set(&self, lag: Duration) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (lag, Vec::new());
    }

    /// An answer of EC2 as it is while describes lag.
    pub(super) fn through(&self, operation: &str, answer: Answer) -> Answer {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (lag, young) = &mut *state;
        if lag.is_zero() {
            return answer;
        }
        let text = |answer: &Answer| String::from_utf8_lossy(answer.body()).into_owned();
        if let Some((_, _, id)) = SORTS.iter().find(|(create, ..)| *create == operation) {
            young.extend(crate::xml::text(&text(&answer), id).map(|id| (id.to_owned(), Instant::now())));
            return answer;
        }
        let Some((_, _, element)) = SORTS.iter().find(|(_, describe, _)| *describe == operation) else { return answer };
        young.retain(|(_, since)| since.elapsed() < *lag);
        let hidden: Vec<String> = young.iter().map(|(id, _)| format!("<{element}>{id}</{element}>")).collect();
        let shown = without(&text(&answer), |item| hidden.iter().any(|id| item.contains(id)));
        let (mut parts, _) = answer.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        Answer::from_parts(parts, Bytes::from(shown))
    }
}

/// An answer without the outermost items that are hidden.
fn without(xml: &str, hidden: impl Fn(&str) -> bool) -> String {
    const OPEN: &str = "<item>";
    const CLOSE: &str = "</item>";
    let (mut shown, mut rest) = (String::with_capacity(xml.len()), xml);
    while let Some(begin) = rest.find(OPEN) {
        shown.push_str(&rest[..begin]);
        let (mut depth, mut end) = (0_u32, begin);
        // To the end of the outermost item; one that never ends is the rest.
        loop {
            let tail = &rest[end..];
            match (tail.find(OPEN), tail.find(CLOSE)) {
                (Some(open), Some(close)) if open < close => (depth, end) = (depth + 1, end + open + OPEN.len()),
                (_, Some(close)) => (depth, end) = (depth.saturating_sub(1), end + close + CLOSE.len()),
                (_, None) => (depth, end) = (0, rest.len()),
            }
            if depth == 0 {
                break;
            }
        }
        if !hidden(&rest[begin..end]) {
            shown.push_str(&rest[begin..end]);
        }
        rest = &rest[end..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn an_item_goes_with_the_items_in_it_and_the_others_stay() {
        let xml = "<set><item><id>1</id><tags><item>a</item><item>b</item></tags></item><item><id>2</id></item></set>";
        let hide = |id: &'static str| move |item: &str| item.contains(id);
        assert_eq!(without(xml, hide("<id>1</id>")), "<set><item><id>2</id></item></set>");
        assert_eq!(without(xml, hide("<id>3</id>")), xml);
        assert_eq!(without("<set/>", hide("x")), "<set/>");
    }
}
