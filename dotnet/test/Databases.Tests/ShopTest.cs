using Genfence.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;

namespace Genfence.Tests.Databases;

/// <summary>A shop with some rows in it for each test.</summary>
public abstract class ShopTest : DatabaseTest
{
    protected Watch Watch { get; } = new();

    protected Shop Open(Action<FenceMap>? map = null, Action<DbContextOptionsBuilder<Shop>>? more = null)
    {
        var options = new DbContextOptionsBuilder<Shop>();
        Database.Use(options);
        options.UseGenfence(Cache, map ?? Shop.Map).AddInterceptors(Watch);
        more?.Invoke(options);
        return new Shop(options.Options);
    }

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        await using var db = Open();
        await db.Database.EnsureCreatedAsync();
        db.Categories.Add(new Category { Name = "Tea", Products = { new Product { Name = "Pot" }, new Product { Name = "Cup" } } });
        db.Categories.Add(new Category { Name = "Coffee" });
        db.Tags.Add(new Tag { Name = "new" });
        db.Stocks.Add(new Stock { Id = 1, Count = 5 });
        db.Prices.Add(new Price { Id = 1, Cents = 100 });
        db.Notes.Add(new Note { Text = "a" });
        await db.SaveChangesAsync();
    }
}

/// <summary>One on PostgreSQL.</summary>
public abstract class PostgresShopTest(PostgresServer server) : ShopTest
{
    protected Postgres Postgres { get; } = new(server);

    protected override IDatabase Database => Postgres;

    public override async ValueTask InitializeAsync()
    {
        await Postgres.CreateAsync();
        await base.InitializeAsync();
    }
}
