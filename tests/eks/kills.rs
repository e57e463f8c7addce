//! Killed at random moments of an apply, while AWS throttles, fails, breaks connections and loses answers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{NOT_THE_STANDS, World};

const KILLS: usize = 20;
/// Names the seed of a run that failed; what microburst draws has none.
const SEED: &str = "WBK_INFRA_TEST_SEED";

/// Random numbers that are the same for a seed (splitmix64).
struct Random(u64);

impl Random {
    /// Between 0 and 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a f64 holds")]
        let unit = ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED} is {text:?}, which is no number")),
        Err(_) => now.as_secs(),
    }
}

/// A bad day: everything is slow, one call in twenty is throttled, one in fifty fails or is cut off, and of what is made the first answers
/// are lost after it was made.
fn bad_day() -> Value {
    let error = |service: &str, probability: f64, code: &str, status: u16| json!({"service": service, "probability": probability, "error": {"code": code, "status": status}});
    let lost = |service: &str, operation: &str| json!({"service": service, "operation": operation, "times": 1, "response": {"abort_bytes": 1}});
    json!([
        lost("ec2", "CreateVpc"),
        lost("ec2", "CreateSubnet"),
        lost("ec2", "AllocateAddress"),
        lost("ec2", "CreateInternetGateway"),
        lost("ec2", "CreateNatGateway"),
        lost("ec2", "CreateRouteTable"),
        lost("iam", "CreateRole"),
        lost("eks", "CreateCluster"),
        lost("eks", "CreateNodegroup"),
        lost("eks", "CreateAddon"),
        error("ec2", 0.05, "RequestLimitExceeded", 503),
        error("iam", 0.05, "Throttling", 400),
        error("eks", 0.05, "ThrottlingException", 429),
        error("ec2", 0.02, "InternalError", 500),
        error("iam", 0.02, "ServiceFailure", 500),
        error("eks", 0.02, "ServerException", 500),
        {"probability": 0.02, "reset": true},
        {"probability": 0.5, "latency": {"min": 2, "max": 40}},
    ])
}

/// When a run is killed: so far into it.
enum Moment {
    After(Duration),
    Requests(usize),
}

#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn an_apply_that_is_killed_again_and_again_ends_with_one_of_everything() {
    let seed = seed();
    eprintln!("seed: {SEED}={seed}");
    let mut random = Random(seed);
    let world = World::with_faults();
    let blueprint = world.blueprint(str::to_owned);
    let file = blueprint.to_str().expect("UTF-8");
    let apply = ["apply", file, "--yes", "--skip", NOT_THE_STANDS];
    let measured = |run: &dyn Fn()| {
        world.stand.forget_requests();
        let begun = Instant::now();
        run();
        (begun.elapsed(), world.stand.requests().len())
    };

    // How long an apply is, how much of it is looking, and what it makes: nobody disturbs it.
    let (whole, requests) = measured(&|| drop(world.apply(file)));
    let (look, looks) = measured(&|| drop(world.run(0, &["plan", file, "--exit-code"])));
    let one_of_everything = world.inventory();
    eprintln!("an apply: {whole:?}, {requests} requests; a plan: {look:?}, {looks} requests; {one_of_everything:?}");
    let destroy = || {
        world.faults(json!([]));
        world.run(0, &["destroy", file, "--delete", "all", "--yes"]);
        world.faults(bad_day());
    };
    destroy();

    // Every life is cut at moments spread over all of it: each run has what was made before it, so that it is killed when it has looked
    // and gone as much further as the next moment is away.
    let (mut kills, mut moments) = (0, Vec::new());
    while kills < KILLS {
        let further = random.unit() / 5.0;
        let moment = if kills % 2 == 0 {
            Moment::After(look.mul_f64(random.unit() + 0.5) + whole.mul_f64(further))
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a small count"
            )]
            let further = (requests as f64 * further + looks as f64 * (random.unit() + 0.5)) as usize;
            Moment::Requests(further)
        };
        world.stand.forget_requests();
        let begun = Instant::now();
        let ended = world.killed_when(&apply, || match moment {
            Moment::After(while_) => begun.elapsed() >= while_,
            Moment::Requests(so_many) => world.stand.requests().len() >= so_many,
        });
        moments.push(format!("{:.1} s and {} requests", begun.elapsed().as_secs_f32(), world.stand.requests().len()));
        match ended {
            None => kills += 1,
            // All is there: another life.
            Some(ended) if ended.code == Some(0) => {
                world.faults(json!([]));
                assert_eq!(world.inventory(), one_of_everything, "seed {seed}, runs of {moments:?}");
                destroy();
            }
            Some(ended) => panic!("seed {seed}, runs of {moments:?}: ended with {:?}:\n{}", ended.code, ended.said),
        }
    }
    eprintln!("runs of {moments:?}");
    world.apply(file);
    world.faults(json!([]));
    world.run(0, &["plan", file, "--exit-code"]);
    assert_eq!(world.inventory(), one_of_everything, "seed {seed}, runs of {moments:?}");
    world.run(0, &["destroy", file, "--delete", "all", "--yes"]);
    assert!(world.inventory().values().all(|count| *count == 0), "{:?}", world.inventory());
}
