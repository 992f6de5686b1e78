using System.Data.Common;
using System.Transactions;
using Dapper;
using Microsoft.EntityFrameworkCore;

namespace Genfence.Tests.Databases;

/// <summary>Changes a price from 1 to 2, over a connection that is cut.</summary>
public sealed record Row(int Id, Func<bool, Shop> Open, Func<DbConnection> Connect, GenfenceCache Cache, bool Retries, CancellationToken Stop)
{
    public string Key => $"price:{Id}";

    public async Task SaveAsync(Shop db, bool two = false)
    {
        foreach (var price in await db.Prices.Where(row => row.Id == Id || (two && row.Id == Id + 1)).ToListAsync(Stop))
        {
            price.Cents = 2;
        }
        await db.SaveChangesAsync(Stop);
    }
}

/// <summary>A way of changing a row, and what of it reaches the server when it commits.</summary>
public sealed record Way(string Name, string Sent, Func<Row, Task> Change)
{
    // A BEGIN says READ COMMITTED.
    private const string Commit = "COMMIT\0", Update = "UPDATE \"";

    public static readonly Way[] All =
    [
        new("SaveChanges of two rows", Commit, async row =>
        {
            await using var db = row.Open(row.Retries);
            await row.SaveAsync(db, two: true);
        }),
        new("a transaction", Commit, async row =>
        {
            await using var db = row.Open(row.Retries);
            await db.Database.CreateExecutionStrategy().ExecuteAsync(async () =>
            {
                db.ChangeTracker.Clear();
                await using var transaction = await db.Database.BeginTransactionAsync(row.Stop);
                await row.SaveAsync(db);
                await transaction.CommitAsync(row.Stop);
            });
        }),
        new("SaveChanges of one row", Update, async row =>
        {
            await using var db = row.Open(row.Retries);
            await row.SaveAsync(db);
        }),
        new("ExecuteUpdate", Update, async row =>
        {
            await using var db = row.Open(row.Retries);
            await db.Fence(row.Key).Prices.Where(price => price.Id == row.Id).ExecuteUpdateAsync(set => set.SetProperty(price => price.Cents, 2), row.Stop);
        }),
        new("TransactionScope", Commit, async row =>
        {
            await using var db = row.Open(false);
            using var scope = new TransactionScope(TransactionScopeAsyncFlowOption.Enabled);
            await row.SaveAsync(db);
            scope.Complete();
        }),
        new("TransactionAsync", Commit, async row =>
        {
            await using var connection = row.Connect();
            await row.Cache.TransactionAsync(connection, [row.Key], async (transaction, fence, cancellation) =>
            {
                await transaction.Connection!.ExecuteAsync("UPDATE \"Prices\" SET \"Cents\" = 2 WHERE \"Id\" = @Id", new { row.Id }, transaction);
                fence.SetOfChangedRows(row.Key, "2");
            }, cancellationToken: row.Stop);
        }),
    ];
}
