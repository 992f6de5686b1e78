//! One transaction that changes two keys, by sqlx.
//!
//! ```sh
//! cargo run -p transactions-sqlx -- postgres://user:password@127.0.0.1/database
//! ```
//!
//! Moves stock from one shelf to another. The second shelf is only known once a row was changed; both keys are reserved just before COMMIT, so
//! that readers keep their hits until then, and the new counts are in the cache afterwards.

use std::error::Error;

use genfence::{Cache, TransactionFence};

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
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = options.connect(&url).await?;
    sqlx::query(TABLE).execute(&pool).await?;
    sqlx::query(ROWS).execute(&pool).await?;
    move_stock(&cache, &pool, 3).await?;
    println!("shelf 1 has {}, shelf 2 has {}", count(&cache, 1).await?, count(&cache, 2).await?);
    Ok(())
}

async fn move_stock(cache: &Cache, pool: &sqlx::PgPool, moved: i32) -> Result<(), Box<dyn Error>> {
    let change = async |fence: &mut TransactionFence| -> Result<_, Box<dyn Error>> {
        let mut transaction = pool.begin().await?;
        let take = sqlx::query_as::<_, (i32, i32)>(TAKE).bind(moved).bind(1);
        let (left, overflow) = take.fetch_one(&mut *transaction).await?;
        let put = sqlx::query_scalar::<_, i32>(PUT).bind(moved).bind(overflow);
        let there = put.fetch_one(&mut *transaction).await?;
        set(fence, 1, left)?;
        set(fence, overflow, there)?;
        Ok(transaction)
    };
    let commit =
        async |transaction: sqlx::Transaction<'_, sqlx::Postgres>| Ok(transaction.commit().await?);
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
