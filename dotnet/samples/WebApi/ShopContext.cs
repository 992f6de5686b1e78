using Microsoft.EntityFrameworkCore;

namespace Shop;

/// <summary>A row, and what the cache holds of it.</summary>
public sealed record Product(int Id, string Name, int PriceInCents);

/// <summary>The source.</summary>
public sealed class ShopContext(DbContextOptions<ShopContext> options) : DbContext(options)
{
    public DbSet<Product> Products => Set<Product>();

    /// <summary>PostgreSQL where it is set, else SQLite.</summary>
    public static void Choose(IServiceProvider services, DbContextOptionsBuilder options)
    {
        var configuration = services.GetRequiredService<IConfiguration>();
        if (configuration.GetConnectionString("Postgres") is { Length: > 0 } postgres)
        {
            options.UseNpgsql(postgres);
        }
        else if (configuration.GetConnectionString("Sqlite") is { Length: > 0 } sqlite)
        {
            options.UseSqlite(sqlite);
        }
        else
        {
            options.UseSqlite($"Data Source={Path.Combine(Path.GetTempPath(), "genfence-shop.db")}");
        }
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
