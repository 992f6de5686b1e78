using Genfence;
using Microsoft.EntityFrameworkCore;

namespace Shop;

/// <summary>A row, and what the cache holds of it.</summary>
public sealed record Product(int Id, string Name, int PriceInCents);

/// <summary>The source.</summary>
public sealed class ShopContext(DbContextOptions<ShopContext> options) : DbContext(options)
{
    public DbSet<Product> Products => Set<Product>();

    /// <summary>PostgreSQL where it is set, else SQLite; and the cache in front of it, which each save keeps right.</summary>
    public static void Choose(IServiceProvider services, DbContextOptionsBuilder options)
    {
        var configuration = services.GetRequiredService<IConfiguration>();
        if (configuration.GetConnectionString("Postgres") is { Length: > 0 } postgres)
        {
            // What a lost connection has not done is done anew, under reservations of its own; soon, as a client waits.
            options.UseNpgsql(postgres, connection => connection.EnableRetryOnFailure(2, TimeSpan.FromSeconds(1), null));
        }
        else if (configuration.GetConnectionString("Sqlite") is { Length: > 0 } sqlite)
        {
            options.UseSqlite(sqlite);
        }
        else
        {
            options.UseSqlite($"Data Source={Path.Combine(Path.GetTempPath(), "genfence-shop.db")}");
        }
        options.UseGenfence(
            services.GetRequiredService<GenfenceCache>(),
            // The value as HybridCache reads it, as no serializer of its own is registered for it.
            map => map.Entity<Product>(product => product.Key(row => Shop.Products.Key(row.Id)).Value(row => row)));
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        ArgumentNullException.ThrowIfNull(modelBuilder);
        var product = modelBuilder.Entity<Product>();
        product.Property(row => row.Id).ValueGeneratedNever();
        product.HasIndex(row => row.Name).IsUnique();
        product.HasData(new Product(1, "Teapot", 1900), new Product(2, "Cup", 450));
    }
}
