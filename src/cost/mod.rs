//! What the platform costs: dollars an hour now, by pool, namespace and queue, and what a plan makes of it.
//!
//! - [`UsdPerHour`]: money, exact;
//! - [`PriceList`], [`Prices`]: what a node costs: the blueprint's own rules, a list of somebody's, the list inside this program;
//! - [`NodeFacts`]: what a live node is: cloud, region, machine, spot or not, pool;
//! - [`cost_report`]: who pays for what, pure; [`read_cost`] asks the cluster for what it is made from;
//! - [`PlanCost`]: what a plan makes of it;
//! - [`cost_picture`], [`cost_html`]: the same drawn.
//!
//! Nothing is guessed: a node without a price is named, and then sums say "at least".

mod allocate;
mod facts;
mod list;
mod money;
mod picture;
mod plan;
mod prices;
mod read;
mod report;

pub use facts::{Cloud, NodeFacts};
pub use list::{PriceList, PriceListError, Quote};
pub use money::{UsdPerHour, cents, spelled};
pub use picture::{cost_html, cost_picture};
pub use plan::{PlanCost, PoolCost, PoolStep, Range, plan_cost};
pub use prices::{FixedCost, OwnPrices, Payer, PriceRule, Priced, Prices, Subject};
pub use read::{Sources, read_cost};
pub use report::{
    CapacityRow, CostReport, Hourly, IdleGpus, NodeRow, PoolRow, PriceSource, Question as CostQuestion, SharerRow,
    cost_report,
};
