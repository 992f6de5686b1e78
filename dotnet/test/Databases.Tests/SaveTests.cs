using Genfence.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace Genfence.Tests.Databases;

/// <summary>What SaveChanges does to the keys of what it writes.</summary>
public abstract class SaveTests : ShopTest
{
    [Fact]
    public async Task The_keys_of_a_row_are_reserved_when_its_statement_is_sent_and_released_when_it_is_done()
    {
        await FillAsync("product:1", "category:1:products", "product:2", "category:1");
        await using var db = Open();
        var pot = await db.Products.FirstAsync(row => row.Id == 1);
        pot.Name = "Kettle";
        var (sent, transactions) = (0, Watch.Transactions);
        Watch.Sending = async text =>
        {
            if (text.Contains("UPDATE", StringComparison.Ordinal))
            {
                sent++;
                await AssertReservedAsync("product:1", "category:1:products");
            }
        };
        Assert.Equal(1, await db.SaveChangesAsync());
        Assert.Equal((1, transactions), (sent, Watch.Transactions));
        await AssertEmptyAsync("product:1", "category:1:products");
        await AssertHeldAsync("old", "product:2", "category:1");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task In_a_transaction_readers_keep_their_hits_until_COMMIT_is_sent()
    {
        await FillAsync("product:1", "product:2");
        await using var db = Open();
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            foreach (var product in await db.Products.ToListAsync())
            {
                product.Name += "!";
                await db.SaveChangesAsync();
                await AssertHeldAsync("old", "product:1", "product:2");
            }
            Watch.Committing = () => AssertReservedAsync("product:1", "product:2", "category:1:products");
            await transaction.CommitAsync();
        }
        await AssertEmptyAsync("product:1", "product:2", "category:1:products");
    }

    [Fact]
    public async Task What_is_rolled_back_has_not_touched_the_cache()
    {
        await FillAsync("product:1");
        await using var db = Open();
        (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            await db.SaveChangesAsync();
            await transaction.RollbackAsync();
        }
        await using (await db.Database.BeginTransactionAsync())
        {
            db.Products.First(row => row.Id == 1).Name = "Mug";
            await db.SaveChangesAsync();
        }
        await AssertHeldAsync("old", "product:1");
        // Nor does what comes after it know of it.
        db.Stocks.First().Count++;
        await db.SaveChangesAsync();
        await AssertHeldAsync("old", "product:1");
    }

    [Fact]
    public async Task What_moves_changes_where_it_was_and_where_it_is()
    {
        await FillAsync("category:1:products", "category:2:products");
        await using var db = Open();
        (await db.Products.FirstAsync(row => row.Id == 1)).CategoryId = 2;
        await db.SaveChangesAsync();
        await AssertEmptyAsync("category:1:products", "category:2:products");
        await FillAsync("category:1:products", "category:2:products", "product:1");
        var moved = await db.Products.FirstAsync(row => row.Id == 1);
        // Changed and then deleted: it was in the one that the database knows.
        moved.CategoryId = 1;
        db.Remove(moved);
        await db.SaveChangesAsync();
        await AssertEmptyAsync("category:2:products", "product:1");
    }

    [Fact]
    public async Task An_id_that_the_database_gives_is_reserved_before_its_row_is_committed()
    {
        // Somebody has asked for it before it was there.
        Assert.Null(await Cache.GetOrFillAsync<string?>("category:3", _ => ValueTask.FromResult<string?>(null)));
        await FillAsync("category:4", "product:3", "category:3:products");
        await using var db = Open();
        var committed = 0;
        Watch.Committing = async () =>
        {
            committed++;
            await AssertReservedAsync("category:3");
        };
        var cocoa = new Category { Name = "Cocoa" };
        db.Add(cocoa);
        await db.SaveChangesAsync();
        Assert.Equal((3, 1), (cocoa.Id, committed));
        Assert.Equal(AutoTransactionBehavior.WhenNeeded, db.Database.AutoTransactionBehavior);
        await AssertEmptyAsync("category:3");
        await AssertHeldAsync("old", "category:4");

        // And one that is in the key of another row.
        Watch.Committing = () => AssertReservedAsync("category:4", "product:3", "category:4:products");
        db.Add(new Category { Name = "Water", Products = { new Product { Name = "Jug" } } });
        await db.SaveChangesAsync();
        await AssertEmptyAsync("category:4", "product:3", "category:4:products");
        await AssertHeldAsync("old", "category:3:products");
    }

    [Fact]
    public async Task An_id_that_the_database_gives_is_known_in_a_transaction_too()
    {
        await FillAsync("category:3");
        await using var db = Open();
        await using var transaction = await db.Database.BeginTransactionAsync();
        db.Add(new Category { Name = "Cocoa" });
        await db.SaveChangesAsync();
        await AssertHeldAsync("old", "category:3");
        Watch.Committing = () => AssertReservedAsync("category:3");
        await transaction.CommitAsync();
        await AssertEmptyAsync("category:3");
    }

    [Fact]
    public async Task What_is_owned_and_what_is_joined_counts_for_its_entity()
    {
        await FillAsync("product:1", "product:2", "tag:new");
        await using var db = Open();
        var pot = await db.Products.FirstAsync(row => row.Id == 1);
        pot.Size.Width = 7;
        await db.SaveChangesAsync();
        await AssertEmptyAsync("product:1");
        await AssertHeldAsync("old", "product:2", "tag:new");

        await FillAsync("product:1");
        var tag = await db.Tags.FirstAsync();
        pot.Tags.Add(tag);
        await db.SaveChangesAsync();
        await AssertEmptyAsync("product:1", "tag:new");
        await AssertHeldAsync("old", "product:2");

        await FillAsync("product:1", "tag:new");
        pot.Tags.Remove(tag);
        await db.SaveChangesAsync();
        await AssertEmptyAsync("product:1", "tag:new");
    }

    [Fact]
    public async Task A_join_of_a_row_that_is_not_there_is_refused_unless_its_keys_are_named()
    {
        await using (var db = Open())
        {
            (await db.Products.FirstAsync(row => row.Id == 1)).Tags.Add(await db.Tags.FirstAsync());
            await db.SaveChangesAsync();
        }
        await FillAsync("product:1", "tag:new");
        await using var joins = Open();
        var join = await joins.Set<Dictionary<string, object>>("ProductTag").FirstAsync();
        joins.Remove(join);
        var refused = (await Assert.ThrowsAsync<DbUpdateException>(() => joins.SaveChangesAsync())).GetBaseException();
        Assert.Contains("ProductTag", refused.Message, StringComparison.Ordinal);
        Assert.Contains("db.Fence", refused.Message, StringComparison.Ordinal);
        await AssertHeldAsync("old", "product:1", "tag:new");
        await joins.Fence("product:1", "tag:new").SaveChangesAsync();
        await AssertEmptyAsync("product:1", "tag:new");
    }

    [Fact]
    public async Task A_value_is_stored_where_the_row_is_known_in_full()
    {
        await AssertHeldAsync("5", "stock:1");
        await AssertHeldAsync("100", "price:1");
        await using var db = Open();
        var stock = await db.Stocks.FirstAsync();
        (stock.Count, stock.Version) = (6, 1);
        await db.SaveChangesAsync();
        await AssertHeldAsync("6", "stock:1");
        // Without a token another one may have changed what was read long before.
        (await db.Prices.FirstAsync()).Cents = 200;
        await db.SaveChangesAsync();
        await AssertEmptyAsync("price:1");
        db.ChangeTracker.Clear();
        db.Update(new Price { Id = 1, Cents = 300 });
        await db.SaveChangesAsync();
        await AssertHeldAsync("300", "price:1");
        stock = await db.Stocks.FirstAsync();
        db.RemoveRange(stock);
        await db.SaveChangesAsync();
        await AssertHeldAsync(null, "stock:1");
    }

    [Fact]
    public async Task In_a_transaction_the_last_that_was_saved_is_stored()
    {
        await using var db = Open();
        var stock = await db.Stocks.FirstAsync();
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            (stock.Count, stock.Version) = (6, 1);
            await db.SaveChangesAsync();
            (stock.Count, stock.Version) = (7, 2);
            await db.SaveChangesAsync();
            // It is not saved.
            stock.Count = 100;
            await AssertHeldAsync("5", "stock:1");
            await transaction.CommitAsync();
        }
        await AssertHeldAsync("7", "stock:1");
        stock.Count = 7;

        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            await transaction.CreateSavepointAsync("before");
            (stock.Count, stock.Version) = (8, 3);
            await db.SaveChangesAsync();
            await transaction.RollbackToSavepointAsync("before");
            await AssertHeldAsync("7", "stock:1");
            await transaction.CommitAsync();
        }
        // What was taken back is not what is stored.
        await AssertEmptyAsync("stock:1");
    }

    [Fact]
    public async Task What_somebody_else_has_changed_meanwhile_fails_and_leaves_nothing_reserved()
    {
        await using var db = Open();
        var stock = await db.Stocks.FirstAsync();
        await using (var other = Open())
        {
            var theirs = await other.Stocks.FirstAsync();
            (theirs.Count, theirs.Version) = (9, 1);
            await other.SaveChangesAsync();
        }
        (stock.Count, stock.Version) = (6, 1);
        await Assert.ThrowsAsync<DbUpdateConcurrencyException>(() => db.SaveChangesAsync());
        await AssertEmptyAsync("stock:1");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task What_a_constraint_refuses_leaves_nothing_reserved()
    {
        await FillAsync("category:1", "category:2");
        await using var db = Open();
        (await db.Categories.FirstAsync(row => row.Id == 1)).Name = "Coffee";
        await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync());
        await AssertEmptyAsync("category:1");
        await AssertHeldAsync("old", "category:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task It_works_without_async_too()
    {
        await FillAsync("product:1", "category:3");
        using var db = Open();
        db.Products.First(row => row.Id == 1).Name = "Kettle";
        db.SaveChanges();
        await AssertEmptyAsync("product:1");
        await FillAsync("product:1");
        using (var transaction = db.Database.BeginTransaction())
        {
            db.Products.First(row => row.Id == 1).Name = "Mug";
            db.Add(new Category { Name = "Cocoa" });
            db.SaveChanges();
            await AssertHeldAsync("old", "product:1", "category:3");
            Watch.Committing = () => AssertReservedAsync("product:1", "category:3");
            transaction.Commit();
        }
        await AssertEmptyAsync("product:1", "category:3");
        await FillAsync("product:1");
        db.Fence("product:1").Products.Where(row => row.Id == 1).ExecuteDelete();
        await AssertEmptyAsync("product:1");
    }

    [Fact]
    public async Task Statements_on_mapped_tables_are_refused_unless_their_keys_are_named()
    {
        await FillAsync("product:1", "product:2");
        await using var db = Open();
        var pot = db.Products.Where(row => row.Id == 1);
        foreach (var send in (Func<Task>[])
        [
            () => pot.ExecuteUpdateAsync(row => row.SetProperty(to => to.Name, "Kettle")),
            () => pot.ExecuteDeleteAsync(),
            () => db.Database.ExecuteSqlAsync($"UPDATE \"Products\" SET \"Name\" = 'Kettle'"),
            () => db.Stocks.FromSql($"UPDATE \"Products\" SET \"Name\" = 'Kettle' RETURNING \"Id\", 1 AS \"Count\", 1 AS \"Version\"").ToListAsync(),
        ])
        {
            var refused = await Assert.ThrowsAsync<InvalidOperationException>(send);
            Assert.Contains("the table Products", refused.Message, StringComparison.Ordinal);
            Assert.Contains("await db.Fence($\"product:{id}\").Products", refused.Message, StringComparison.Ordinal);
        }
        Assert.Equal("Pot", (await pot.AsNoTracking().FirstAsync()).Name);
        await AssertHeldAsync("old", "product:1", "product:2");

        Watch.Sending = _ => AssertReservedAsync("product:1");
        Assert.Equal(1, await db.Fence("product:1").Products.Where(row => row.Id == 1)
            .ExecuteUpdateAsync(row => row.SetProperty(to => to.Name, "Kettle")));
        Watch.Sending = null;
        await AssertEmptyAsync("product:1");
        await AssertHeldAsync("old", "product:2");
        // It was for that one alone.
        await Assert.ThrowsAsync<InvalidOperationException>(() => pot.ExecuteDeleteAsync());

        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            await db.Fence("product:2").Database.ExecuteSqlAsync($"UPDATE \"Products\" SET \"Name\" = 'Mug' WHERE \"Id\" = 2");
            await AssertHeldAsync("old", "product:2");
            Watch.Committing = () => AssertReservedAsync("product:2");
            await transaction.CommitAsync();
        }
        await AssertEmptyAsync("product:2");
        await FillAsync("product:1");
        await db.Fence().Database.ExecuteSqlAsync($"UPDATE \"Products\" SET \"Name\" = \"Name\"");
        await AssertHeldAsync("old", "product:1");
        Assert.Equal(1, await db.Notes.ExecuteDeleteAsync());
        Assert.Equal(2, await db.Products.FromSql($"SELECT * FROM \"Products\"").AsNoTracking().CountAsync());
    }

    [Fact]
    public async Task Statements_on_mapped_tables_pass_where_that_is_said()
    {
        await FillAsync("product:1");
        await using var db = Open(Allowing);
        Assert.Equal(1, await db.Products.Where(row => row.Id == 1).ExecuteDeleteAsync());
        await AssertHeldAsync("old", "product:1");
    }

    private static void Allowing(FenceMap map)
    {
        Shop.Map(map);
        map.Unnamed = UnnamedChanges.Allow;
    }

    [Fact]
    public async Task A_statement_that_fails_leaves_nothing_reserved_where_the_database_says_so()
    {
        await FillAsync("category:1");
        await using var db = Open();
        await Assert.ThrowsAnyAsync<System.Data.Common.DbException>(() => db.Fence("category:1").Categories.Where(row => row.Id == 1)
            .ExecuteUpdateAsync(row => row.SetProperty(to => to.Name, "Coffee")));
        await AssertEmptyAsync("category:1");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task A_context_that_shares_a_transaction_is_told_of_by_the_one_that_commits()
    {
        await FillAsync("product:1", "stock:7");
        await using var db = Open();
        await using var transaction = await db.Database.BeginTransactionAsync();
        (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
        await db.SaveChangesAsync();
        await using (var shared = Open(more: options => UseConnection(options, db)))
        {
            await shared.Database.UseTransactionAsync(transaction.GetDbTransaction());
            shared.Add(new Stock { Id = 7, Count = 1 });
            await shared.SaveChangesAsync();
        }
        await AssertHeldAsync("old", "product:1", "stock:7");
        Watch.Committing = () => AssertReservedAsync("product:1", "stock:7");
        await transaction.CommitAsync();
        await AssertEmptyAsync("product:1");
        await AssertHeldAsync("1", "stock:7");
    }

    [Fact]
    public async Task In_a_transaction_that_somebody_else_began_keys_are_reserved_at_once_and_left_where_nothing_is_heard()
    {
        await FillAsync("product:1", "product:2");
        await using var db = Open();
        await db.Database.OpenConnectionAsync();
        await using (var transaction = await db.Database.GetDbConnection().BeginTransactionAsync())
        {
            await db.Database.UseTransactionAsync(transaction);
            (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
            await db.SaveChangesAsync();
            await AssertReservedAsync("product:1");
            await transaction.CommitAsync();
        }
        await db.Database.UseTransactionAsync(null);
        await AssertReservedAsync("product:1");
        await using (var transaction = await db.Database.GetDbConnection().BeginTransactionAsync())
        {
            await db.Database.UseTransactionAsync(transaction);
            (await db.Products.FirstAsync(row => row.Id == 2)).Name = "Mug";
            await db.SaveChangesAsync();
            await AssertReservedAsync("product:2");
            await db.Database.CommitTransactionAsync();
        }
        await AssertEmptyAsync("product:2");
    }

    [Fact]
    public async Task Where_a_key_cannot_be_reserved_nothing_is_committed()
    {
        await using var closed = await GenfenceCache.ConnectAsync("memory://");
        await closed.DisposeAsync();
        var options = new DbContextOptionsBuilder<Shop>();
        Database.Use(options);
        await using var db = new Shop(options.UseGenfence(closed, Shop.Map).Options);
        (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
        var refused = await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync());
        Assert.IsType<GenfenceShutDownException>(refused.GetBaseException());
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            await db.SaveChangesAsync();
            await Assert.ThrowsAsync<GenfenceShutDownException>(() => transaction.CommitAsync());
        }
        Assert.Equal("Pot", (await db.Products.AsNoTracking().FirstAsync(row => row.Id == 1)).Name);
    }

    [Fact]
    public async Task A_COMMIT_that_comes_after_its_reservations_is_refused_before_it_is_sent()
    {
        await using var hasty = await GenfenceCache.ConnectAsync("memory://?reservation_time=100ms&reservation_margin=99ms");
        var options = new DbContextOptionsBuilder<Shop>();
        Database.Use(options);
        await using var db = new Shop(options.UseGenfence(hasty, Early).Options);
        await using var transaction = await db.Database.BeginTransactionAsync();
        (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
        await db.SaveChangesAsync();
        // All of it is a millisecond.
        await Task.Delay(200);
        var refused = await Assert.ThrowsAsync<GenfenceTransactionTimeoutException>(() => transaction.CommitAsync());
        Assert.Contains("reservation_time", refused.Message, StringComparison.Ordinal);
        await transaction.RollbackAsync();
        Assert.Equal("Pot", (await db.Products.AsNoTracking().FirstAsync(row => row.Id == 1)).Name);
    }

    private static void Early(FenceMap map)
    {
        Shop.Map(map);
        map.IsReservedEarly = true;
    }

    [Fact]
    public async Task Keys_are_reserved_when_a_save_begins_where_that_is_said_and_given_back_where_it_is_rolled_back()
    {
        await FillAsync("product:1", "product:2");
        await using var db = Open(Early);
        Watch.Sending = text => text.Contains("UPDATE", StringComparison.Ordinal) ? AssertReservedAsync("product:1") : Task.CompletedTask;
        await using (await db.Database.BeginTransactionAsync())
        {
            (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
            await db.SaveChangesAsync();
            await AssertReservedAsync("product:1");
        }
        Watch.Sending = null;
        // The next thing that the context does shows that it was rolled back.
        db.ChangeTracker.Clear();
        (await db.Products.FirstAsync(row => row.Id == 2)).Name = "Mug";
        await db.SaveChangesAsync();
        await AssertEmptyAsync("product:1", "product:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
        // Two rows: a transaction of the save's own.
        foreach (var product in await db.Products.ToListAsync())
        {
            product.Name += "!";
        }
        Watch.Committing = () => AssertReservedAsync("product:1", "product:2");
        await db.SaveChangesAsync();
        await AssertEmptyAsync("product:1", "product:2");
    }

    [Fact]
    public async Task What_another_interceptor_changes_is_fenced_too()
    {
        await FillAsync("product:2");
        await using var db = Open(more: options => options.AddInterceptors(new Renaming()));
        (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
        await db.SaveChangesAsync();
        await AssertEmptyAsync("product:2");
    }

    protected abstract void UseConnection(DbContextOptionsBuilder<Shop> options, Shop other);

    /// <summary>Renames the second product when anything is saved.</summary>
    private sealed class Renaming : Microsoft.EntityFrameworkCore.Diagnostics.SaveChangesInterceptor
    {
        public override async ValueTask<Microsoft.EntityFrameworkCore.Diagnostics.InterceptionResult<int>> SavingChangesAsync(
            Microsoft.EntityFrameworkCore.Diagnostics.DbContextEventData eventData,
            Microsoft.EntityFrameworkCore.Diagnostics.InterceptionResult<int> result,
            CancellationToken cancellationToken = default)
        {
            (await ((Shop)eventData.Context!).Products.FirstAsync(row => row.Id == 2, cancellationToken)).Name = "Beaker";
            return result;
        }
    }
}

public sealed class SqliteSaveTests : SaveTests
{
    protected override IDatabase Database { get; } = new Sqlite();

    protected override void UseConnection(DbContextOptionsBuilder<Shop> options, Shop other) =>
        options.UseSqlite(other.Database.GetDbConnection());
}

public sealed class PostgresSaveTests(PostgresServer server) : SaveTests
{
    private readonly Postgres _database = new(server);

    protected override IDatabase Database => _database;

    public override async ValueTask InitializeAsync()
    {
        await _database.CreateAsync();
        await base.InitializeAsync();
    }

    protected override void UseConnection(DbContextOptionsBuilder<Shop> options, Shop other) =>
        options.UseNpgsql(other.Database.GetDbConnection());
}
