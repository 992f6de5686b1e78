using Dapper;
using Genfence.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace Genfence.Tests.Databases;

/// <summary>The keys of entities that are not just a row with a number.</summary>
public abstract class DepotTests : DatabaseTest
{
    private readonly Watch _watch = new();

    private Depot Open(Action<FenceMap>? map = null, GenfenceCache? cache = null)
    {
        var options = new DbContextOptionsBuilder<Depot>();
        Database.Use(options);
        return new Depot(options.UseGenfence(cache ?? Cache, map ?? Depot.Map).AddInterceptors(_watch).Options);
    }

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        await using var db = Open();
        await db.Database.EnsureCreatedAsync();
    }

    [Fact]
    public async Task A_row_that_moves_to_one_that_is_inserted_with_it_is_known_where_it_is()
    {
        await using var db = Open();
        var book = new Book { Shelf = new Shelf() };
        db.Add(book);
        await db.SaveChangesAsync();
        await FillAsync("shelf:1:books", "shelf:2:books", "shelf:3:books");
        book.Shelf = new Shelf();
        _watch.Committing = () => AssertReservedAsync("shelf:1:books", "shelf:2:books");
        await db.SaveChangesAsync();
        await AssertEmptyAsync("shelf:1:books", "shelf:2:books");
        await AssertHeldAsync("old", "shelf:3:books");
    }

    [Fact]
    public async Task A_part_of_a_complex_property_is_known_where_it_was()
    {
        await using var db = Open();
        var ada = new Person { Name = "Ada", Address = new("Paris", "Rue") };
        db.Add(ada);
        await db.SaveChangesAsync();
        await AssertHeldAsync("Ada", "place:Paris:Rue");
        await FillAsync("city:Paris", "city:London", "city:Rome", "place:London:Road");
        ada.Address = new("London", "Road");
        await db.SaveChangesAsync();
        await AssertEmptyAsync("city:Paris", "city:London", "place:Paris:Rue", "place:London:Road");
        await AssertHeldAsync("old", "city:Rome");
    }

    [Fact]
    public async Task What_the_database_computes_is_known_where_it_was_and_where_it_is()
    {
        await using var db = Open();
        var page = new Page { Name = "Home", Slug = "whatever" };
        db.Add(page);
        await FillAsync("slug:home");
        await db.SaveChangesAsync();
        await AssertEmptyAsync("slug:home");
        await FillAsync("slug:home", "slug:start", "slug:whatever");
        page.Name = "Start";
        _watch.Committing = () => AssertReservedAsync("slug:home", "slug:start");
        await db.SaveChangesAsync();
        await AssertEmptyAsync("slug:home", "slug:start");
        await FillAsync("slug:start");
        db.Remove(page);
        await db.SaveChangesAsync();
        await AssertEmptyAsync("slug:start");
        await AssertHeldAsync("old", "slug:whatever");
    }

    [Fact]
    public async Task A_row_that_was_moved_and_deleted_says_nothing_of_where_it_was_moved_to()
    {
        await using var db = Open();
        var (a, b) = (new Item { Id = new("a"), Place = "left" }, new Item { Id = new("b"), Place = "right" });
        db.AddRange(a, b);
        await db.SaveChangesAsync();
        await AssertHeldAsync("a", "at:left");
        await AssertHeldAsync("b", "at:right");
        a.Place = "right";
        db.Remove(a);
        await db.SaveChangesAsync();
        await AssertEmptyAsync("at:left", "at:right");
    }

    [Fact]
    public async Task A_key_with_a_converter_is_a_key()
    {
        await using var db = Open();
        await FillAsync("item:a", "at:left");
        db.Add(new Item { Id = new("a"), Place = "left" });
        await db.SaveChangesAsync();
        await AssertEmptyAsync("item:a");
        await AssertHeldAsync("a", "at:left");
    }

    [Fact]
    public async Task Types_that_inherit_have_the_keys_of_their_bases_too()
    {
        await using var db = Open();
        var (lorry, bicycle) = (new Lorry { Tons = 7 }, new Bicycle());
        db.AddRange(lorry, bicycle);
        await db.SaveChangesAsync();
        string[] keys = [$"vehicle:{lorry.Id}", "tons:7", "tons:8", $"vehicle:{bicycle.Id}"];
        await FillAsync(keys);
        lorry.Tons = 8;
        await db.SaveChangesAsync();
        await AssertEmptyAsync(keys[..3]);
        await AssertHeldAsync("old", keys[3]);
        // Both of their tables are.
        foreach (var (table, statement) in ((string, FormattableString)[])[("Vehicles", $"DELETE FROM \"Vehicles\""), ("Lorry", $"DELETE FROM \"Lorry\"")])
        {
            var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => db.Database.ExecuteSqlAsync(statement));
            Assert.Contains($"the table {table}", refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Joins_by_an_alternate_key_count_for_both_of_their_ends()
    {
        await using var db = Open();
        var line = new Line { OrderId = 1, Number = 2, Code = "x" };
        var label = new Label { Text = "urgent" };
        db.AddRange(line, label);
        await db.SaveChangesAsync();
        await FillAsync("line:1:2", "label:urgent");
        line.Labels.Add(label);
        await db.SaveChangesAsync();
        await AssertEmptyAsync("line:1:2", "label:urgent");
        await FillAsync("line:1:2", "label:urgent");
        line.Labels.Clear();
        await db.SaveChangesAsync();
        await AssertEmptyAsync("line:1:2", "label:urgent");
    }

    [Fact]
    public async Task Joins_whose_keys_are_named_are_saved_where_keys_are_reserved_early_too()
    {
        await using (var before = Open())
        {
            before.Add(new Line { OrderId = 1, Number = 2, Code = "x", Labels = { new Label { Text = "urgent" } } });
            await before.SaveChangesAsync();
        }
        await FillAsync("line:1:2", "label:urgent");
        await using var db = Open(Early);
        db.Remove(await db.Set<Dictionary<string, object>>("LabelLine").FirstAsync());
        _watch.Sending = _ => AssertReservedAsync("line:1:2", "label:urgent");
        await db.Fence("line:1:2", "label:urgent").SaveChangesAsync();
        await AssertEmptyAsync("line:1:2", "label:urgent");
    }

    private static void Early(FenceMap map)
    {
        Depot.Map(map);
        map.IsReservedEarly = true;
    }

    [Fact]
    public async Task Entities_that_share_a_type_have_keys()
    {
        await using var db = Open();
        await FillAsync("setting:1");
        db.Settings.Add(new Dictionary<string, object> { ["Id"] = 1, ["Text"] = "x" });
        await db.SaveChangesAsync();
        await AssertEmptyAsync("setting:1");
    }

    [Fact]
    public async Task A_key_that_the_program_names_has_no_value_of_the_row()
    {
        await using var db = Open();
        var item = new Item { Id = new("a"), Place = "left" };
        db.Add(item);
        // As a trigger does more than is said.
        await db.Fence("at:left").SaveChangesAsync();
        await AssertEmptyAsync("at:left");
        (item.Version, item.Place) = (Guid.NewGuid(), "right");
        await db.SaveChangesAsync();
        await AssertHeldAsync("a", "at:right");
    }

    [Theory]
    [InlineData(AutoTransactionBehavior.Always)]
    [InlineData(AutoTransactionBehavior.Never)]
    [InlineData(AutoTransactionBehavior.WhenNeeded)]
    public async Task Whatever_EF_Core_begins_by_itself_a_row_is_not_committed_before_its_key_is_reserved(AutoTransactionBehavior behavior)
    {
        await FillAsync("parcel:1", "slug:home", "book:");
        await using var db = Open();
        db.Database.AutoTransactionBehavior = behavior;
        db.Add(new Parcel { Content = "tea" });
        if (behavior == AutoTransactionBehavior.Never)
        {
            var refused = (await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync())).GetBaseException();
            Assert.Contains("the key of a Parcel", refused.Message, StringComparison.Ordinal);
            Assert.Empty(await db.Parcels.AsNoTracking().ToListAsync());
            await AssertHeldAsync("old", "parcel:1");
            await using var transaction = await db.Database.BeginTransactionAsync();
            await db.SaveChangesAsync();
            await transaction.CommitAsync();
        }
        else
        {
            await db.SaveChangesAsync();
        }
        Assert.Equal(behavior, db.Database.AutoTransactionBehavior);
        await AssertHeldAsync("tea", $"parcel:{(await db.Parcels.AsNoTracking().FirstAsync()).Id}");

        // Of rows that are known each is reserved when it is sent.
        db.AddRange(new Item { Id = new("a"), Place = "left" }, new Item { Id = new("b"), Place = "right" });
        await FillAsync("item:a", "item:b", "at:left");
        await db.SaveChangesAsync();
        await AssertEmptyAsync("item:a", "item:b");
        await AssertHeldAsync("a", "at:left");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_is_not_accepted_has_no_value(bool isExplicit)
    {
        await using var db = Open();
        await using (var transaction = isExplicit ? await db.Database.BeginTransactionAsync() : null)
        {
            db.Add(new Item { Id = new("a"), Place = "left" });
            db.Add(new Parcel { Content = "tea" });
            await FillAsync("at:left", "parcel:1");
            await db.SaveChangesAsync(acceptAllChangesOnSuccess: false);
            await (transaction?.CommitAsync() ?? Task.CompletedTask);
        }
        await AssertEmptyAsync("at:left", "parcel:1");
        db.ChangeTracker.AcceptAllChanges();
        Assert.Equal(0, await db.SaveChangesAsync());
    }

    [Fact]
    public async Task Without_looking_for_changes_those_are_fenced_that_are_saved()
    {
        await using var db = Open(Early);
        db.ChangeTracker.AutoDetectChangesEnabled = false;
        var item = new Item { Id = new("a"), Place = "left" };
        db.Add(item);
        await db.SaveChangesAsync();
        await FillAsync("item:a");
        (item.Place, item.Version) = ("right", Guid.NewGuid());
        Assert.Equal(0, await db.SaveChangesAsync());
        await AssertHeldAsync("old", "item:a");
        db.ChangeTracker.DetectChanges();
        Assert.Equal(1, await db.SaveChangesAsync());
        await AssertEmptyAsync("item:a", "at:left");
        Assert.False(db.ChangeTracker.AutoDetectChangesEnabled);
    }

    [Fact]
    public async Task A_map_that_cannot_be_is_refused_when_the_context_first_saves()
    {
        await AssertAsync(map => map.Entity<Product>(product => product.Key(row => $"{row.Id}")), "Product is no entity of this context");
        await AssertAsync(map => map.Entity<Book>(book => book.Key(row => $"{row.Shelf!.Name}")), "Shelf leads to other rows");
        await AssertAsync(map => map.Entity<Book>(book => book.Key(row => $"{row.Id}").Value(row => row.Shelf!.Name)), "Value of Book: Shelf leads to other rows");
        await AssertAsync(map => map.Entity<Book>(book => book.Value(row => row.Title)), "call Key first");

        async Task AssertAsync(Action<FenceMap> map, string message)
        {
            await using var db = Open(map);
            db.Add(new Shelf());
            var refused = await Assert.ThrowsAnyAsync<Exception>(() => db.SaveChangesAsync());
            Assert.Contains(message, refused.GetBaseException().Message, StringComparison.Ordinal);
            await using var plain = Open();
            Assert.Empty(await plain.Shelves.ToListAsync());
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Keys_and_values_that_throw_lose_nothing_that_was_committed(bool isExplicit)
    {
        await FillAsync("parcel:1", "bad:1");
        await using var db = Open(Throwing);
        await using (var transaction = isExplicit ? await db.Database.BeginTransactionAsync() : null)
        {
            // A key that is known only when the row is there.
            db.Add(new Parcel { Content = "bad key" });
            await Assert.ThrowsAnyAsync<Exception>(() => db.SaveChangesAsync());
            if (transaction is not null)
            {
                await Assert.ThrowsAsync<InvalidOperationException>(() => transaction.CommitAsync());
            }
        }
        await using (var plain = Open())
        {
            Assert.Empty(await plain.Parcels.ToListAsync());
        }
        await AssertHeldAsync("old", "parcel:1");
        db.ChangeTracker.Clear();
        var parcel = new Parcel { Content = "bad value" };
        await using (var transaction = isExplicit ? await db.Database.BeginTransactionAsync() : null)
        {
            db.Add(parcel);
            await db.SaveChangesAsync();
            await (transaction?.CommitAsync() ?? Task.CompletedTask);
        }
        await AssertEmptyAsync($"parcel:{parcel.Id}");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    private static void Throwing(FenceMap map) => map.Entity<Parcel>(parcel => parcel
        .Key(row => row.Content == "bad key" && row.Id > 0 ? Thrown() : $"parcel:{row.Id}")
        .Value(row => row.Content == "bad value" ? Thrown() : row.Content));

    private static string Thrown() => throw new FormatException("of the program's own");

    [Fact]
    public async Task More_keys_than_there_may_be_are_refused_before_anything_is_committed()
    {
        await using var db = Open();
        var most = Enumerable.Range(0, 10_000).Select(i => new CacheKey($"many:{i}")).ToArray();
        db.Add(new Label { Text = "urgent" });
        var refused = await Assert.ThrowsAnyAsync<Exception>(() => db.Fence(most).SaveChangesAsync());
        Assert.Equal("keys", Assert.IsType<GenfenceInvalidException>(refused.GetBaseException()).Field);
        Assert.Equal(0, await db.Labels.CountAsync());
        await db.Fence(most[1..]).SaveChangesAsync();
        Assert.Equal(1, await db.Labels.CountAsync());
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task Two_caches_in_one_transaction_are_both_told()
    {
        await using var other = await GenfenceCache.ConnectAsync(Url);
        await FillAsync("item:a", "item:b");
        Assert.Equal("old", await other.GetOrFillAsync("item:b", _ => ValueTask.FromResult("old")));
        await using var db = Open();
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            db.Add(new Item { Id = new("a"), Place = "left" });
            await db.SaveChangesAsync();
            var options = new DbContextOptionsBuilder<Depot>();
            UseConnection(options, db);
            await using (var second = new Depot(options.UseGenfence(other, Depot.Map).Options))
            {
                await second.Database.UseTransactionAsync(transaction.GetDbTransaction());
                second.Add(new Item { Id = new("b"), Place = "right" });
                await second.SaveChangesAsync();
            }
            await transaction.CommitAsync();
        }
        await AssertEmptyAsync("item:a");
        await AssertHeldAsync("old", "item:b");
        Assert.False((await other.TryGetAsync<string>("item:b")).Found);
        Assert.Equal((true, "b"), await other.TryGetAsync<string>("at:right"));
        Assert.Equal((0L, 0L), (Cache.Stats.ReservationsLeft, other.Stats.ReservationsLeft));
    }

    protected abstract void UseConnection(DbContextOptionsBuilder<Depot> options, Depot other);
}

public sealed class SqliteDepotTests : DepotTests
{
    protected override IDatabase Database { get; } = new Sqlite();

    protected override void UseConnection(DbContextOptionsBuilder<Depot> options, Depot other) =>
        options.UseSqlite(other.Database.GetDbConnection());
}

public sealed class PostgresDepotTests(PostgresServer server) : DepotTests
{
    private readonly Postgres _database = new(server);

    protected override IDatabase Database => _database;

    public override async ValueTask InitializeAsync()
    {
        await _database.CreateAsync();
        await base.InitializeAsync();
    }

    [Fact]
    public async Task A_row_that_is_inserted_again_under_another_id_has_the_value_of_that()
    {
        await using (var connection = Database.Connect())
        {
            await connection.ExecuteAsync("""
                CREATE FUNCTION conflict() RETURNS trigger AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''40001''; END' LANGUAGE plpgsql;
                CREATE CONSTRAINT TRIGGER conflict AFTER INSERT ON "Parcels" DEFERRABLE INITIALLY DEFERRED
                    FOR EACH ROW WHEN (NEW."Id" = 1) EXECUTE FUNCTION conflict()
                """);
        }
        await using var db = new Depot(new DbContextOptionsBuilder<Depot>()
            .UseNpgsql(_database.ConnectionString, options => options.EnableRetryOnFailure(3, TimeSpan.FromMilliseconds(50), []))
            .UseGenfence(Cache, Depot.Map)
            .Options);
        db.Add(new Parcel { Content = "tea" });
        await db.SaveChangesAsync();
        await AssertHeldAsync("tea", "parcel:2");
        await AssertEmptyAsync("parcel:1");
    }

    protected override void UseConnection(DbContextOptionsBuilder<Depot> options, Depot other) =>
        options.UseNpgsql(other.Database.GetDbConnection());
}
