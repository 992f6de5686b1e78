using System.Transactions;
using Genfence.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Genfence.Tests.Databases;

/// <summary>Transactions of System.Transactions. The server can prepare none, so one that were made to commit in two phases would fail.</summary>
public sealed class ScopeTests(PostgresServer server) : PostgresShopTest(server)
{
    private static TransactionScope Begin(TimeSpan timeout = default) =>
        new(TransactionScopeOption.Required, timeout == default ? Patience : timeout, TransactionScopeAsyncFlowOption.Enabled);

    // Contexts that come one after the other in a scope share a connection of the pool.
    private Shop Pooled() => Open(more: options => options.UseNpgsql($"{Postgres.ConnectionString};Pooling=true;Application Name={Postgres.ConnectionString.GetHashCode(StringComparison.Ordinal)}"));

    [Fact]
    public async Task The_contexts_of_a_scope_are_told_when_it_is_complete()
    {
        await FillAsync("product:1", "product:2", "category:3");
        using (var scope = Begin())
        {
            await using (var db = Pooled())
            {
                (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
                await db.SaveChangesAsync();
            }
            await using (var db = Pooled())
            {
                db.Add(new Category { Name = "Cocoa" });
                await db.SaveChangesAsync();
                await db.Fence("product:2").Products.Where(row => row.Id == 2).ExecuteDeleteAsync();
            }
            await AssertHeldAsync("old", "product:1", "product:2", "category:3");
            scope.Complete();
        }
        await AssertEmptyAsync("product:1", "product:2", "category:3");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
        Assert.Equal("Kettle", (await Open().Products.FirstAsync()).Name);
    }

    [Fact]
    public async Task One_that_is_not_completed_has_not_touched_the_cache()
    {
        await FillAsync("product:1");
        await using var db = Open();
        using (Begin())
        {
            (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
            await db.SaveChangesAsync();
        }
        await AssertHeldAsync("old", "product:1");
        // Nor is it known afterwards.
        db.ChangeTracker.Clear();
        (await db.Products.FirstAsync(row => row.Id == 2)).Name = "Mug";
        await db.SaveChangesAsync();
        await AssertHeldAsync("old", "product:1");
    }

    [Fact]
    public async Task One_that_takes_too_long_is_rolled_back_and_leaves_nothing_reserved()
    {
        await FillAsync("product:1");
        await using var db = Open(Early);
        using (var scope = Begin(TimeSpan.FromMilliseconds(300)))
        {
            (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
            await db.SaveChangesAsync();
            await AssertReservedAsync("product:1");
            // Its clock ticks twice a second.
            while (Transaction.Current!.TransactionInformation.Status == TransactionStatus.Active)
            {
                await Task.Delay(20);
            }
            scope.Complete();
            Assert.Throws<TransactionAbortedException>(scope.Dispose);
        }
        await AssertEmptyAsync("product:1");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
        Assert.Equal("Pot", (await Open().Products.FirstAsync(row => row.Id == 1)).Name);
    }

    private static void Early(FenceMap map)
    {
        Shop.Map(map);
        map.IsReservedEarly = true;
    }

    [Fact]
    public async Task One_that_cannot_be_reserved_is_rolled_back()
    {
        var gone = await GenfenceCache.ConnectAsync("memory://");
        var options = new DbContextOptionsBuilder<Shop>();
        Database.Use(options);
        await using (var db = new Shop(options.UseGenfence(gone, Shop.Map).Options))
        {
            using var scope = Begin();
            (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
            await db.SaveChangesAsync();
            await gone.DisposeAsync();
            scope.Complete();
            var refused = Assert.Throws<TransactionAbortedException>(scope.Dispose);
            Assert.IsType<GenfenceShutDownException>(refused.GetBaseException());
        }
        Assert.Equal("Pot", (await Open().Products.FirstAsync(row => row.Id == 1)).Name);
    }

    [Fact]
    public async Task A_connection_that_takes_no_part_in_it_is_fenced_for_itself()
    {
        await FillAsync("product:1");
        await using var db = Open(more: options => options.UseNpgsql($"{Postgres.ConnectionString};Enlist=false"));
        using (Begin())
        {
            (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
            await db.SaveChangesAsync();
            await AssertEmptyAsync("product:1");
        }
        Assert.Equal("Kettle", (await Open().Products.FirstAsync(row => row.Id == 1)).Name);
    }

    [Fact]
    public async Task A_context_can_be_made_part_of_one_by_hand()
    {
        await FillAsync("product:1");
        await using var db = Open();
        using (var transaction = new CommittableTransaction())
        {
            await db.Database.OpenConnectionAsync();
            db.Database.EnlistTransaction(transaction);
            (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
            await db.SaveChangesAsync();
            await AssertHeldAsync("old", "product:1");
            transaction.Commit();
        }
        await AssertEmptyAsync("product:1");
    }
}

/// <summary>SQLite knows nothing of them.</summary>
public sealed class SqliteScopeTests : ShopTest
{
    protected override IDatabase Database { get; } = new Sqlite();

    [Fact]
    public async Task Where_the_database_takes_no_part_in_a_scope_each_statement_is_fenced_for_itself()
    {
        await FillAsync("product:1", "product:2", "category:3");
        await using var db = Open(more: options => options.ConfigureWarnings(warnings => warnings.Ignore(RelationalEventId.AmbientTransactionWarning)));
        using (new TransactionScope(TransactionScopeAsyncFlowOption.Enabled))
        {
            foreach (var product in await db.Products.ToListAsync())
            {
                product.Name += "!";
            }
            await db.SaveChangesAsync();
            await AssertEmptyAsync("product:1", "product:2");
            // There can be no transaction, and its key is not known before.
            db.Add(new Category { Name = "Cocoa" });
            await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync());
        }
        await AssertHeldAsync("old", "category:3");
        Assert.Equal("Pot!", (await Open().Products.FirstAsync(row => row.Id == 1)).Name);
    }
}
