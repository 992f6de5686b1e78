using System.Data.Common;
using System.Transactions;
using Dapper;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using IsolationLevel = System.Data.IsolationLevel;

namespace Genfence.Tests.Databases;

/// <summary>What PostgreSQL refuses for certain, at a statement or at COMMIT: nothing stays reserved, and nothing is stored.</summary>
public sealed class RefusedTests(PostgresServer server) : PostgresShopTest(server)
{
    private static async Task<DbException> RefusedAsync(Func<Task> change) =>
        Assert.IsAssignableFrom<DbException>((await Assert.ThrowsAnyAsync<Exception>(change)).GetBaseException());

    [Fact]
    public async Task A_constraint_that_is_looked_at_when_it_commits()
    {
        await using (var connection = Database.Connect())
        {
            await connection.ExecuteAsync("""
                DROP INDEX "IX_Categories_Name";
                ALTER TABLE "Categories" ADD CONSTRAINT late UNIQUE ("Name") DEFERRABLE INITIALLY DEFERRED;
                CREATE TABLE once (count integer UNIQUE DEFERRABLE INITIALLY DEFERRED);
                INSERT INTO once VALUES (6);
                CREATE FUNCTION counted() RETURNS trigger AS 'BEGIN INSERT INTO once VALUES (NEW."Count"); RETURN NEW; END' LANGUAGE plpgsql;
                CREATE TRIGGER counted AFTER UPDATE ON "Stocks" FOR EACH ROW EXECUTE FUNCTION counted()
                """);
        }
        foreach (var change in (Func<Shop, Task>[])
        [
            async db =>
            {
                await foreach (var category in db.Categories.AsAsyncEnumerable())
                {
                    category.Name = "Both";
                }
                await db.SaveChangesAsync();
            },
            async db =>
            {
                await using var transaction = await db.Database.BeginTransactionAsync();
                (await db.Categories.FirstAsync(row => row.Id == 1)).Name = "Coffee";
                await db.SaveChangesAsync();
                await transaction.CommitAsync();
            },
            async db =>
            {
                (await db.Categories.FirstAsync(row => row.Id == 1)).Name = "Coffee";
                await db.SaveChangesAsync();
            },
            async db => await db.Fence("category:1").Categories.Where(row => row.Id == 1).ExecuteUpdateAsync(row => row.SetProperty(to => to.Name, "Coffee")),
            async db =>
            {
                // What there was is not what it would have been.
                var stock = await db.Stocks.FirstAsync();
                (stock.Count, stock.Version) = (6, 1);
                await db.SaveChangesAsync();
            },
        ])
        {
            await FillAsync("category:1");
            await using (var db = Open())
            {
                Assert.Equal("23505", (await RefusedAsync(() => change(db))).SqlState);
            }
            Assert.Equal(0, Cache.Stats.ReservationsLeft);
            Assert.Equal("5", await Cache.GetOrFillAsync("stock:1", _ => ValueTask.FromResult("5")));
        }
        await AssertEmptyAsync("category:2");
    }

    [Fact]
    public async Task A_serialization_failure_at_COMMIT()
    {
        await using var first = Open();
        await using var second = Open();
        await FillAsync("price:2");
        first.Add(new Price { Id = 2, Cents = 1 });
        await first.SaveChangesAsync();
        await using var one = await first.Database.BeginTransactionAsync(IsolationLevel.Serializable);
        await using var other = await second.Database.BeginTransactionAsync(IsolationLevel.Serializable);
        (await first.Prices.ToListAsync()).Single(row => row.Id == 1).Cents = 2;
        (await second.Prices.ToListAsync()).Single(row => row.Id == 2).Cents = 2;
        await first.SaveChangesAsync();
        await second.SaveChangesAsync();
        await one.CommitAsync();
        Assert.Equal("40001", (await RefusedAsync(() => other.CommitAsync())).SqlState);
        await AssertEmptyAsync("price:1", "price:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task The_victim_of_a_deadlock()
    {
        await using var first = Open(more: Hasty);
        await using var second = Open(more: Hasty);
        await FillAsync("product:1", "product:2");
        await using var one = await first.Database.BeginTransactionAsync();
        await using var other = await second.Database.BeginTransactionAsync();
        await RenameAsync(first, 1);
        await RenameAsync(second, 2);
        var victims = await Task.WhenAll(EndAsync(one, RenameAsync(first, 2)), EndAsync(other, RenameAsync(second, 1)));
        Assert.Single(victims, isOne => isOne);
        await AssertEmptyAsync("product:1", "product:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);

        static async Task<bool> EndAsync(IDbContextTransaction transaction, Task renamed)
        {
            try
            {
                await renamed;
                await transaction.CommitAsync();
                return false;
            }
            catch (InvalidOperationException problem)
            {
                Assert.Equal("40P01", ((DbException)problem.GetBaseException()).SqlState);
                await transaction.RollbackAsync();
                return true;
            }
        }

        static async Task RenameAsync(Shop db, int id)
        {
            (await db.Products.FirstAsync(row => row.Id == id)).Name += "!";
            await db.SaveChangesAsync();
        }

        void Hasty(DbContextOptionsBuilder<Shop> options) => options.UseNpgsql($"{Postgres.ConnectionString};Options=-c deadlock_timeout=50ms");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_transaction_that_ended_without_a_word_is_no_part_of_the_one_that_comes_after_it(bool isForeign)
    {
        // Npgsql uses the object of a transaction again for the next one of a connection, which comes from a pool.
        void Pool(DbContextOptionsBuilder<Shop> options) => options.UseNpgsql($"{Postgres.ConnectionString};Pooling=true;Maximum Pool Size=1");
        await FillAsync("product:1", "product:2");
        var first = Open(more: Pool);
        (await first.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
        await using (await first.Database.BeginTransactionAsync())
        {
            await first.SaveChangesAsync();
        }
        await using var second = Open(more: Pool);
        await second.Database.OpenConnectionAsync();
        await using (var transaction = isForeign ? await second.Database.GetDbConnection().BeginTransactionAsync() : null)
        {
            var own = isForeign ? await second.Database.UseTransactionAsync(transaction) : await second.Database.BeginTransactionAsync();
            (await second.Products.FirstAsync(row => row.Id == 2)).Name = "Mug";
            await second.SaveChangesAsync();
            if (isForeign)
            {
                await AssertReservedAsync("product:2");
            }
            await first.DisposeAsync();
            Watch.Committing = () => AssertReservedAsync("product:2");
            await own!.CommitAsync();
        }
        await AssertEmptyAsync("product:2");
        await AssertHeldAsync("old", "product:1");
    }

    [Theory]
    [InlineData("a transaction")]
    [InlineData("TransactionAsync")]
    [InlineData("TransactionScope")]
    public async Task A_COMMIT_of_what_has_failed_already_stores_nothing(string way)
    {
        // PostgreSQL rolls it back then, and says so in no error.
        await using var db = Open();
        var stock = await db.Stocks.FirstAsync();
        await AssertHeldAsync("5", "stock:1");
        switch (way)
        {
            case "a transaction":
                await using (var transaction = await db.Database.BeginTransactionAsync())
                {
                    await SaveAsync();
                    Assert.Equal("25P02", (await RefusedAsync(() => transaction.CommitAsync())).SqlState);
                }
                break;
            case "TransactionAsync":
                await using (var connection = Database.Connect())
                {
                    var refused = await RefusedAsync(() => Cache.TransactionAsync(connection, ["stock:1"], async (transaction, fence, cancellation) =>
                    {
                        fence.SetOfChangedRows("stock:1", await connection.ExecuteScalarAsync<string>(
                            "UPDATE \"Stocks\" SET \"Count\" = 6 RETURNING \"Count\"::text", transaction: transaction));
                        await RefusedAsync(() => connection.ExecuteAsync("SELECT 1 / 0", transaction: transaction));
                    }).AsTask());
                    Assert.Equal("25P02", refused.SqlState);
                }
                break;
            default:
                await using (var own = Open())
                {
                    // Npgsql tells that it is committed.
                    using var scope = new TransactionScope(TransactionScopeAsyncFlowOption.Enabled);
                    await SaveAsync();
                    scope.Complete();
                }
                break;
        }
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
        Assert.Equal(5, await Open().Stocks.Select(row => row.Count).FirstAsync());
        Assert.Equal("5", await Cache.GetOrFillAsync("stock:1", _ => ValueTask.FromResult("5")));

        async Task SaveAsync()
        {
            (stock.Count, stock.Version) = (6, 1);
            await db.SaveChangesAsync();
            await RefusedAsync(() => db.Database.ExecuteSqlAsync($"SELECT 1 / 0"));
        }
    }
}
