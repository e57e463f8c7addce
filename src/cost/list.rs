//! A list of prices: what nodes of a cloud cost by machine and region, with the day on which that was so.

use std::sync::LazyLock;

use super::facts::Cloud;
use super::money::UsdPerHour;
use wbk_provider_api::Capacity;

/// The list inside this program. Made by scripts/prices.py; docs/cost.md tells from what.
const SHIPPED: &str = include_str!("../../prices/nodes.csv");

/// Columns before the first region.
const SHAPE: usize = 5;

/// Prices of nodes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PriceList {
    clouds: Vec<CloudPrices>,
}

/// Prices of one cloud.
#[derive(Debug, Clone, PartialEq)]
struct CloudPrices {
    /// `None` for a list that is for nodes of any cloud and of none.
    cloud: Option<Cloud>,
    /// `2026-07-20`.
    date: String,
    source: String,
    regions: Vec<String>,
    /// Lines of machines, as written: a list is large, and one or two lines of it are looked at.
    lines: Vec<(usize, String)>,
}

/// What a list says about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The price.
    pub price: UsdPerHour,
    /// The day of which it is.
    pub date: String,
    /// Who says so.
    pub source: String,
}

/// A list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PriceListError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Why a list says nothing.
/// The later ones say more: they win where several lists are asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoQuote {
    /// It has nothing of this cloud.
    Cloud,
    /// It does not have the machine.
    Machine,
    /// The machine has no price in this region.
    Region,
    /// It has one on demand and none for spot.
    Spot(UsdPerHour),
}

impl PriceList {
    /// The list inside this program.
    pub fn shipped() -> &'static Self {
        static LIST: LazyLock<PriceList> = LazyLock::new(|| {
            // A test reads all of it.
            PriceList::parse_unchecked(SHIPPED).unwrap_or_default()
        });
        &LIST
    }

    /// Reads a list: the format of prices/nodes.csv.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, PriceListError> {
        let list = Self::parse_unchecked(text)?;
        for prices in &list.clouds {
            for (line, machine) in &prices.lines {
                let wrong = |what: String| PriceListError { line: *line, what };
                let cells: Vec<&str> = machine.split(',').collect();
                if cells.len() > SHAPE + prices.regions.len() {
                    return Err(wrong(format!("more cells than the {} regions of the heading", prices.regions.len())));
                }
                for cell in cells.iter().skip(SHAPE).filter(|cell| !cell.is_empty()) {
                    read_cell(cell).ok_or_else(|| wrong(format!("`{cell}` is no price: write 1.25 or 1.25/0.4")))?;
                }
            }
        }
        Ok(list)
    }

    fn parse_unchecked(text: &str) -> Result<Self, PriceListError> {
        let mut list = Self::default();
        let mut headed = false;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_end();
            let wrong = |what: &str| PriceListError { line: at + 1, what: what.to_owned() };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(rest) = line.strip_prefix("cloud,") {
                let mut words = rest.splitn(3, ',');
                let cloud = match words.next().unwrap_or_default() {
                    "any" => None,
                    name => Some(
                        Cloud::of_name(name).ok_or_else(|| wrong("the cloud is none of aws, azure, gcp and any"))?,
                    ),
                };
                let date = words.next().unwrap_or_default();
                if date.parse::<jiff::civil::Date>().is_err() {
                    return Err(wrong("write the day of the prices, as in cloud,aws,2026-07-20,our contract"));
                }
                let (date, source) = (date.to_owned(), words.next().unwrap_or_default().to_owned());
                list.clouds.push(CloudPrices { cloud, date, source, regions: Vec::new(), lines: Vec::new() });
                headed = false;
                continue;
            }
            let Some(prices) = list.clouds.last_mut() else {
                return Err(wrong("begin with cloud,NAME,DAY,SOURCE: aws, azure, gcp or any"));
            };
            if let Some(rest) = line.strip_prefix("machine,cpus,GiB,gpu,gpus,") {
                prices.regions = rest.split(',').map(str::to_owned).collect();
                headed = true;
            } else if headed {
                prices.lines.push((at + 1, line.to_owned()));
            } else {
                return Err(wrong("after the cloud comes machine,cpus,GiB,gpu,gpus,REGION,… (* for every region)"));
            }
        }
        Ok(list)
    }

    /// Every cloud of the list with its day and source.
    pub fn clouds(&self) -> impl Iterator<Item = (Option<Cloud>, &str, &str)> {
        self.clouds.iter().map(|prices| (prices.cloud, prices.date.as_str(), prices.source.as_str()))
    }

    /// What a node costs.
    pub(super) fn quote(
        &self,
        cloud: Option<Cloud>,
        (machine, region): (&str, Option<&str>),
        capacity: Capacity,
    ) -> Result<Quote, NoQuote> {
        let mut why = NoQuote::Cloud;
        for prices in self.clouds.iter().filter(|prices| prices.cloud.is_none() || prices.cloud == cloud) {
            match prices.quote(machine, region, capacity) {
                Ok(price) => {
                    return Ok(Quote { price, date: prices.date.clone(), source: prices.source.clone() });
                }
                Err(found) => why = why.max(found),
            }
        }
        Err(why)
    }
}

impl CloudPrices {
    fn quote(&self, machine: &str, region: Option<&str>, capacity: Capacity) -> Result<UsdPerHour, NoQuote> {
        let line = self
            .lines
            .iter()
            .map(|(_, line)| line.as_str())
            .find(|line| line.strip_prefix(machine).is_some_and(|rest| rest.is_empty() || rest.starts_with(',')));
        let cells: Vec<&str> = line.ok_or(NoQuote::Machine)?.split(',').skip(SHAPE).collect();
        let at = self.regions.iter().position(|known| known == "*" || Some(known.as_str()) == region);
        let cell = at.and_then(|at| cells.get(at)).filter(|cell| !cell.is_empty()).ok_or(NoQuote::Region)?;
        let (on_demand, spot) = read_cell(cell).ok_or(NoQuote::Region)?;
        match capacity {
            Capacity::OnDemand => Ok(on_demand),
            Capacity::Spot => spot.ok_or(NoQuote::Spot(on_demand)),
        }
    }
}

/// `1.25`, or `1.25/0.4` with the price of spot.
fn read_cell(cell: &str) -> Option<(UsdPerHour, Option<UsdPerHour>)> {
    match cell.split_once('/') {
        None => Some((UsdPerHour::parse(cell)?, None)),
        Some((on_demand, spot)) => Some((UsdPerHour::parse(on_demand)?, Some(UsdPerHour::parse(spot)?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(cloud: Cloud, at: (&str, &str), capacity: Capacity) -> Result<String, NoQuote> {
        PriceList::shipped().quote(Some(cloud), (at.0, Some(at.1)), capacity).map(|quote| quote.price.to_string())
    }

    #[test]
    fn the_shipped_list_is_whole_and_dated() {
        let list = PriceList::parse(SHIPPED).unwrap();
        assert_eq!(list.clouds().count(), 5);
        for (cloud, date, source) in list.clouds().take(3) {
            assert!(cloud.is_some() && date.starts_with("2026-") && source.contains('@'), "{date} {source}");
        }
        let machines: usize = list.clouds.iter().map(|prices| prices.lines.len()).sum();
        assert!(machines > 900, "{machines}");
        assert!(SHIPPED.len() < 300_000, "the list has {} bytes", SHIPPED.len());
    }

    #[test]
    fn machines_have_the_price_of_their_region_and_nothing_is_guessed() {
        assert_eq!(price(Cloud::Aws, ("p5.48xlarge", "us-east-1"), Capacity::OnDemand).unwrap(), "$55.04");
        assert_eq!(price(Cloud::Azure, ("Standard_NC24ads_A100_v4", "eastus"), Capacity::OnDemand).unwrap(), "$3.67");
        assert_eq!(price(Cloud::Gcp, ("a2-highgpu-8g", "us-central1"), Capacity::OnDemand).unwrap(), "$29.39");
        assert!(price(Cloud::Gcp, ("g2-standard-4", "us-central1"), Capacity::Spot).is_ok());
        assert_eq!(price(Cloud::Aws, ("p5.48xlarge", "mars-1"), Capacity::OnDemand), Err(NoQuote::Region));
        // A prefix of a machine's name is another machine.
        assert_eq!(price(Cloud::Aws, ("p5.48xlarg", "us-east-1"), Capacity::OnDemand), Err(NoQuote::Machine));
        assert!(matches!(
            price(Cloud::Aws, ("p5.48xlarge", "us-east-1"), Capacity::Spot),
            Err(NoQuote::Spot(on_demand)) if on_demand.to_string() == "$55.04"
        ));
        assert_eq!(
            PriceList::shipped().quote(None, ("p5.48xlarge", Some("us-east-1")), Capacity::OnDemand),
            Err(NoQuote::Cloud)
        );
    }

    #[test]
    fn a_list_of_ones_own_is_read_and_its_slips_are_told_with_their_line() {
        let own = "# ours\ncloud,any,2026-11-01,contract 4711\nmachine,cpus,GiB,gpu,gpus,*\nbox,,,,,3.5/1\n";
        let list = PriceList::parse(own).unwrap();
        let quote = |capacity| list.quote(None, ("box", None), capacity).unwrap().price.to_string();
        assert_eq!((quote(Capacity::OnDemand), quote(Capacity::Spot)), ("$3.50".into(), "$1.00".into()));
        for (text, line, what) in [
            ("machine,cpus,GiB,gpu,gpus,*\n", 1, "begin with"),
            ("cloud,moon,2026-01-01,x\n", 1, "none of"),
            ("cloud,any,yesterday,x\n", 1, "the day"),
            ("cloud,any,2026-01-01,x\nbox,,,,,1\n", 2, "after the cloud"),
            ("cloud,any,2026-01-01,x\nmachine,cpus,GiB,gpu,gpus,*\nbox,,,,,cheap\n", 3, "no price"),
            ("cloud,any,2026-01-01,x\nmachine,cpus,GiB,gpu,gpus,*\nbox,,,,,1,2\n", 3, "more cells"),
        ] {
            let error = PriceList::parse(text).unwrap_err();
            assert!(error.line == line && error.what.contains(what), "{error}");
        }
    }
}
