//! One transaction that changes two keys, by tokio-postgres.
//!
//! ```sh
//! cargo run -p transactions -- postgres://user:password@127.0.0.1/database
//! ```
//!
//! Moves stock from one shelf to another. The second shelf is only known once a row was changed; both keys are reserved just before COMMIT, so
//! that readers keep their hits until then, and the new counts are in the cache afterwards.

use std::error::Error;

use genfence::{Cache, TransactionFence};
use tokio_postgres::NoTls;

const TABLE: &str =
    "CREATE TEMPORARY TABLE shelf (id int PRIMARY KEY, count int NOT NULL, overflow int)";
const ROWS: &str = "INSERT INTO shelf VALUES (1, 10, 2), (2, 0, NULL)";
const TAKE: &str = "UPDATE shelf SET count = count - $1 WHERE id = $2 RETURNING count, overflow";
const PUT: &str = "UPDATE shelf SET count = count + $1 WHERE id = $2 RETURNING count";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(url) = std::env::args().nth(1) else {
        return Err("say which database: postgres://user:password@127.0.0.1/database".into());
    };
    let cache = Cache::connect("memory://").await?;
    let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(&format!("{TABLE}; {ROWS}")).await?;
    move_stock(&cache, &mut client, 3).await?;
    println!("shelf 1 has {}, shelf 2 has {}", count(&cache, 1).await?, count(&cache, 2).await?);
    Ok(())
}

async fn move_stock(
    cache: &Cache,
    client: &mut tokio_postgres::Client,
    moved: i32,
) -> Result<(), Box<dyn Error>> {
    // An error before COMMIT drops the transaction, which is rolled back.
    let change = async |fence: &mut TransactionFence| -> Result<_, Box<dyn Error>> {
        // It borrows the client, and outlives this closure: so the client is moved into it.
        let client = client;
        let transaction = client.transaction().await?;
        let taken = transaction.query_one(TAKE, &[&moved, &1]).await?;
        let (left, overflow): (i32, i32) = (taken.get(0), taken.get(1));
        let put = transaction.query_one(PUT, &[&moved, &overflow]).await?;
        set(fence, 1, left)?;
        set(fence, overflow, put.get(0))?;
        Ok(transaction)
    };
    let commit =
        async |transaction: tokio_postgres::Transaction<'_>| Ok(transaction.commit().await?);
    cache.transaction(change, commit).await.map_err(|failed| failed.to_string())?;
    Ok(())
}

/// What the row has now. It was changed and returned by this transaction, whose lock holds it.
fn set(fence: &mut TransactionFence, shelf: i32, count: i32) -> Result<(), genfence::Error> {
    fence.set_of_changed_rows(format!("shelf:{shelf}"), count.to_string())
}

/// A reader; its loader would read the row.
async fn count(cache: &Cache, shelf: i32) -> Result<String, Box<dyn Error>> {
    let load = async || Err::<String, _>(std::io::Error::other("it was not in the cache"));
    let found = cache.get_or_fill(format!("shelf:{shelf}"), load).await?;
    Ok(String::from_utf8(found.unwrap_or_default().to_vec())?)
}
