using BenchmarkDotNet.Attributes;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;

namespace Genfence.Bench;

[MemoryDiagnoser]
public class Saves
{
    private SqliteConnection? _sqlite;
    private GenfenceCache _cache = null!;
    private Shop _plain = null!;
    private Shop _fenced = null!;
    private int _next;

    [Params(1, 100)]
    public int Rows { get; set; }

    [GlobalSetup]
    public async Task OpenAsync()
    {
        _cache = await GenfenceCache.ConnectAsync(Environment.GetEnvironmentVariable("GENFENCE_URL") ?? "memory://");
        _plain = new Shop(Database(new DbContextOptionsBuilder<Shop>()).Options);
        _fenced = new Shop(Database(new DbContextOptionsBuilder<Shop>())
            .UseGenfence(_cache, map => map.Entity<Product>(product => product.Key(row => $"product:{row.Id}").Key(row => $"category:{row.CategoryId}")))
            .Options);
        await _plain.Database.EnsureDeletedAsync();
        await _plain.Database.EnsureCreatedAsync();
        for (var id = 1; id <= Rows; id++)
        {
            _plain.Add(new Product { Id = id, Name = "a", CategoryId = id % 10 });
        }
        await _plain.SaveChangesAsync();
        await _fenced.Products.LoadAsync();
    }

    [GlobalCleanup]
    public async Task CloseAsync()
    {
        await _plain.Database.EnsureDeletedAsync();
        await _plain.DisposeAsync();
        await _fenced.DisposeAsync();
        await _cache.DisposeAsync();
        _sqlite?.Dispose();
    }

    [Benchmark(Baseline = true, Description = "SaveChangesAsync")]
    public Task<int> PlainAsync() => SaveAsync(_plain);

    [Benchmark(Description = "SaveChangesAsync, fenced")]
    public Task<int> FencedAsync() => SaveAsync(_fenced);

    private Task<int> SaveAsync(Shop shop)
    {
        var name = $"{_next++}";
        foreach (var product in shop.Products.Local)
        {
            product.Name = name;
        }
        return shop.SaveChangesAsync();
    }

    private DbContextOptionsBuilder<Shop> Database(DbContextOptionsBuilder<Shop> options)
    {
        if (Environment.GetEnvironmentVariable("GENFENCE_POSTGRES") is { } postgres)
        {
            return options.UseNpgsql(postgres);
        }
        if (_sqlite is null)
        {
            _sqlite = new SqliteConnection("Data Source=:memory:");
            _sqlite.Open();
        }
        return options.UseSqlite(_sqlite);
    }
}

public class Product
{
    public int Id { get; set; }

    public string Name { get; set; } = "";

    public int CategoryId { get; set; }
}

public class Shop(DbContextOptions<Shop> options) : DbContext(options)
{
    public DbSet<Product> Products => Set<Product>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        ArgumentNullException.ThrowIfNull(modelBuilder);
        modelBuilder.Entity<Product>().Property(row => row.Id).ValueGeneratedNever();
    }
}
