using System.Data.Common;
using Genfence.EntityFrameworkCore;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Tests.Databases;

/// <summary>What others do in the middle of a save or of a transaction, and what is left of a context.</summary>
public sealed class InterceptorTests : ShopTest
{
    protected override IDatabase Database { get; } = new Sqlite();

    /// <summary>Does something at each of these moments.</summary>
    private sealed class Other : ISaveChangesInterceptor, IDbTransactionInterceptor
    {
        public Func<Shop, Task<InterceptionResult<int>?>>? Saving { get; init; }

        public Func<Shop, Task>? Saved { get; init; }

        public Func<Shop, Task>? Committing { get; init; }

        public Func<Shop, Task>? Committed { get; init; }

        public bool IsConflictIgnored { get; init; }

        private bool IsBusy { get; set; }

        async ValueTask<InterceptionResult<int>> ISaveChangesInterceptor.SavingChangesAsync(
            DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken)
        {
            InterceptionResult<int>? instead = null;
            await OnceAsync(eventData, async db => instead = await (Saving?.Invoke(db) ?? Task.FromResult<InterceptionResult<int>?>(null)));
            return instead ?? result;
        }

        async ValueTask<int> ISaveChangesInterceptor.SavedChangesAsync(
            SaveChangesCompletedEventData eventData, int result, CancellationToken cancellationToken)
        {
            await OnceAsync(eventData, Saved);
            return result;
        }

        async ValueTask<InterceptionResult> IDbTransactionInterceptor.TransactionCommittingAsync(
            DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken)
        {
            await OnceAsync(eventData, Committing);
            return result;
        }

        Task IDbTransactionInterceptor.TransactionCommittedAsync(
            DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken) => OnceAsync(eventData, Committed);

        ValueTask<InterceptionResult> ISaveChangesInterceptor.ThrowingConcurrencyExceptionAsync(
            ConcurrencyExceptionEventData eventData, InterceptionResult result, CancellationToken cancellationToken) =>
            new(IsConflictIgnored ? InterceptionResult.Suppress() : result);

        /// <summary>What it does itself is none of its business.</summary>
        private async Task OnceAsync(DbContextEventData eventData, Func<Shop, Task>? what)
        {
            if (!IsBusy && what is not null)
            {
                IsBusy = true;
                await what((Shop)eventData.Context!);
                IsBusy = false;
            }
        }
    }

    private Shop Open(Other other, Action<FenceMap>? map = null) => Open(map, options => options.AddInterceptors(other));

    private static async Task RenameAsync(Shop db, params int[] ids)
    {
        foreach (var product in await db.Products.Where(row => ids.Contains(row.Id)).ToListAsync())
        {
            product.Name += "!";
        }
    }

    private static void Early(FenceMap map)
    {
        Shop.Map(map);
        map.IsReservedEarly = true;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task One_that_saves_in_the_middle_of_a_save(bool isEarly)
    {
        await FillAsync("product:1", "product:2");
        await using var db = Open(
            new Other
            {
                Saving = async db =>
                {
                    await db.SaveChangesAsync();
                    await RenameAsync(db, 2);
                    return null;
                },
            },
            isEarly ? Early : null);
        await RenameAsync(db, 1);
        Assert.Equal(1, await db.SaveChangesAsync());
        await AssertEmptyAsync("product:1", "product:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task One_that_saves_when_a_save_is_done()
    {
        await FillAsync("product:1", "product:2", "category:3");
        await using var db = Open(new Other
        {
            Saved = async db =>
            {
                await RenameAsync(db, 2);
                db.Add(new Category { Name = "Cocoa" });
                await db.SaveChangesAsync();
            },
        });
        await RenameAsync(db, 1);
        await db.SaveChangesAsync();
        await AssertEmptyAsync("product:1", "product:2", "category:3");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task One_that_changes_more_when_COMMIT_is_about_to_be_sent(bool isOwn)
    {
        await FillAsync("product:1", "product:2", "category:3");
        await using var db = Open(new Other
        {
            Committing = async db =>
            {
                await db.Fence("product:2").Products.Where(row => row.Id == 2).ExecuteUpdateAsync(row => row.SetProperty(to => to.Name, "Mug"));
                await AssertReservedAsync("product:2");
                if (!isOwn)
                {
                    db.Add(new Category { Name = "Cocoa" });
                    await db.SaveChangesAsync();
                    await AssertReservedAsync("category:3");
                }
            },
        });
        await using (var transaction = isOwn ? null : await db.Database.BeginTransactionAsync())
        {
            await RenameAsync(db, 1);
            db.Notes.Add(new Note());
            await db.SaveChangesAsync();
            await (transaction?.CommitAsync() ?? Task.CompletedTask);
        }
        await AssertEmptyAsync("product:1", "product:2");
        if (!isOwn)
        {
            await AssertEmptyAsync("category:3");
        }
    }

    [Fact]
    public async Task One_that_refuses_a_save_or_answers_for_it()
    {
        await FillAsync("product:1");
        var answers = new Queue<Func<InterceptionResult<int>?>>(
        [
            () => throw new FormatException("of the program's own"),
            () => InterceptionResult<int>.SuppressWithResult(7),
            () => null,
        ]);
        await using (var db = Open(new Other { Saving = _ => Task.FromResult(answers.Dequeue()()) }, Early))
        {
            await RenameAsync(db, 1);
            await Assert.ThrowsAsync<FormatException>(() => db.SaveChangesAsync());
        }
        await AssertEmptyAsync("product:1");
        await using (var db = Open(new Other { Saving = _ => Task.FromResult(answers.Dequeue()()) }, Early))
        {
            await RenameAsync(db, 1);
            Assert.Equal(7, await db.SaveChangesAsync());
            await AssertEmptyAsync("product:1");
            Assert.Equal(1, await db.SaveChangesAsync());
        }
        await AssertEmptyAsync("product:1");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task One_that_throws_once_it_is_committed(bool isSaved)
    {
        await FillAsync("product:1", "product:2");
        // It says for certain that nothing was done; but not of this COMMIT.
        Task Throw(Shop db) => throw new SqliteException("SQLite Error 19: 'of another database'", 19);
        await using var db = Open(isSaved ? new Other { Saved = Throw } : new Other { Committed = Throw });
        await RenameAsync(db, 1, 2);
        await Assert.ThrowsAnyAsync<Exception>(() => db.SaveChangesAsync());
        Assert.Equal("Pot!", (await db.Products.AsNoTracking().FirstAsync(row => row.Id == 1)).Name);
        await AssertEmptyAsync("product:1", "product:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task One_that_goes_on_after_a_conflict()
    {
        await FillAsync("stock:2", "product:1");
        await using var db = Open(new Other { IsConflictIgnored = true });
        db.Attach(new Stock { Id = 2, Version = 3 }).Entity.Count = 4;
        await db.SaveChangesAsync();
        await AssertEmptyAsync("stock:2");
        db.ChangeTracker.Clear();
        await RenameAsync(db, 1);
        await db.SaveChangesAsync();
        await AssertEmptyAsync("product:1");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_is_reserved_early_is_given_back_where_nothing_is_committed(bool isExplicit)
    {
        await FillAsync("category:1", "category:2");
        await using (var db = Open(Early))
        {
            if (isExplicit)
            {
                await db.Database.BeginTransactionAsync();
            }
            await foreach (var category in db.Categories.AsAsyncEnumerable())
            {
                category.Name = isExplicit ? $"{category.Name}!" : "Both";
            }
            if (isExplicit)
            {
                await db.SaveChangesAsync();
                await AssertReservedAsync("category:1", "category:2");
                // The context is disposed in the middle.
            }
            else
            {
                await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync());
                await AssertEmptyAsync("category:1", "category:2");
            }
        }
        await AssertEmptyAsync("category:1", "category:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task Names_are_for_one_statement_and_for_what_it_does_again()
    {
        await FillAsync("category:1", "product:1");
        await using var db = Open();
        // There was nothing to save.
        await db.Fence("product:1").SaveChangesAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(() => db.Products.ExecuteDeleteAsync());
        // The same statement with other parameters is another one, also after one that failed.
        await Assert.ThrowsAnyAsync<DbException>(() => UpdateAsync(db.Fence("category:1"), 1, "Coffee"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => UpdateAsync(db, 2, "Tea"));
        await AssertHeldAsync("old", "product:1");

        static Task UpdateAsync(Shop db, int id, string name) =>
            db.Categories.Where(row => row.Id == id).ExecuteUpdateAsync(row => row.SetProperty(to => to.Name, name));
    }

    [Fact]
    public async Task Queries_of_SQL_pass_unless_they_change_rows()
    {
        await using var db = Open();
        Assert.Equal(2, await db.Database.SqlQuery<int>($"SELECT COUNT(*) AS \"Value\" FROM \"Products\"").SingleAsync());
        await Assert.ThrowsAsync<InvalidOperationException>(
            () => db.Database.SqlQuery<int>($"UPDATE \"Products\" SET \"Name\" = '' RETURNING \"Id\" AS \"Value\"").ToListAsync());
        // It locks, and SQLite does not know it.
        await Assert.ThrowsAsync<SqliteException>(() => db.Products.FromSql($"SELECT * FROM \"Products\" FOR NO KEY UPDATE").ToListAsync());
    }

    [Fact]
    public async Task A_context_of_a_pool_knows_nothing_of_who_had_it_before()
    {
        await FillAsync("product:1", "product:2", "stock:7");
        await using var services = new ServiceCollection()
            .AddDbContextPool<Shop>(
                options =>
                {
                    Database.Use(options);
                    options.UseGenfence(Cache, Early).AddInterceptors(Watch);
                },
                poolSize: 1)
            .BuildServiceProvider();
        Shop first;
        await using (var scope = services.CreateAsyncScope())
        {
            first = scope.ServiceProvider.GetRequiredService<Shop>();
            await first.Database.BeginTransactionAsync();
            await RenameAsync(first, 1);
            await first.SaveChangesAsync();
            await AssertReservedAsync("product:1");
            first.Fence("product:2");
            first.Database.AutoTransactionBehavior = AutoTransactionBehavior.Never;
        }
        await AssertEmptyAsync("product:1");
        await using (var scope = services.CreateAsyncScope())
        {
            var second = scope.ServiceProvider.GetRequiredService<Shop>();
            Assert.Same(first, second);
            await Assert.ThrowsAsync<InvalidOperationException>(() => second.Products.ExecuteDeleteAsync());
            second.Add(new Stock { Id = 7, Count = 1 });
            await second.SaveChangesAsync();
            await AssertHeldAsync("old", "product:2");
            await AssertHeldAsync("1", "stock:7");
            second.Add(new Category { Name = "Cocoa" });
            await second.SaveChangesAsync();
        }
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task A_COMMIT_that_failed_can_be_tried_again()
    {
        await FillAsync("product:1", "product:2");
        await using var reader = Database.Connect();
        await reader.OpenAsync();
        await using var hasty = Database.Connect("Default Timeout=1");
        await using var db = Open(more: options => options.UseSqlite(hasty));
        await db.Database.ExecuteSqlAsync($"PRAGMA journal_mode = DELETE");
        await using var transaction = await db.Database.BeginTransactionAsync();
        await RenameAsync(db, 1);
        await db.SaveChangesAsync();
        await using (var reading = await reader.BeginTransactionAsync(System.Data.IsolationLevel.ReadUncommitted))
        {
            await using var query = reader.CreateCommand();
            query.CommandText = "SELECT * FROM Products";
            await using var rows = await query.ExecuteReaderAsync();
            await rows.ReadAsync();
            await Assert.ThrowsAsync<SqliteException>(() => transaction.CommitAsync());
        }
        // The transaction goes on, and there is more in it.
        await RenameAsync(db, 2);
        await db.SaveChangesAsync();
        Watch.Committing = () => AssertReservedAsync("product:1", "product:2");
        await transaction.CommitAsync();
        await AssertEmptyAsync("product:2");
        Assert.Equal("Cup!", (await Open().Products.FirstAsync(row => row.Id == 2)).Name);
    }

    [Fact]
    public async Task Calls_that_are_not_async_need_no_other_thread()
    {
        await FillAsync("product:1", "category:3");
        var done = new TaskCompletionSource();
        var thread = new Thread(() =>
        {
            try
            {
                SynchronizationContext.SetSynchronizationContext(new Silent());
                using var db = Open();
                db.Products.First().Name = "Kettle";
                db.SaveChanges();
                using var transaction = db.Database.BeginTransaction();
                db.Add(new Category { Name = "Cocoa" });
                db.SaveChanges();
                transaction.Commit();
                done.SetResult();
            }
            catch (Exception problem)
            {
                done.SetException(problem);
            }
        });
        thread.Start();
        await done.Task.WaitAsync(Patience);
        await AssertEmptyAsync("product:1", "category:3");
    }

    /// <summary>Its thread is busy for ever.</summary>
    private sealed class Silent : SynchronizationContext
    {
        public override void Post(SendOrPostCallback d, object? state)
        {
        }
    }
}
