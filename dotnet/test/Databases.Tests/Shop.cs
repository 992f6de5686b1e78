using Genfence.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;

namespace Genfence.Tests.Databases;

public class Category
{
    public int Id { get; set; }

    public string Name { get; set; } = "";

    public List<Product> Products { get; } = [];
}

public class Product
{
    public int Id { get; set; }

    public string Name { get; set; } = "";

    public int CategoryId { get; set; }

    public Category? Category { get; set; }

    public Size Size { get; set; } = new();

    public List<Tag> Tags { get; } = [];
}

/// <summary>In a table of its own, of its product.</summary>
public class Size
{
    public int Width { get; set; }
}

public class Tag
{
    public int Id { get; set; }

    public string Name { get; set; } = "";

    public List<Product> Products { get; } = [];
}

/// <summary>A row with a concurrency token.</summary>
public class Stock
{
    public int Id { get; set; }

    public int Count { get; set; }

    public int Version { get; set; }
}

/// <summary>A row without one.</summary>
public class Price
{
    public int Id { get; set; }

    public int Cents { get; set; }

    public string Currency { get; set; } = "";
}

/// <summary>Of which the cache knows nothing.</summary>
public class Note
{
    public int Id { get; set; }

    public string Text { get; set; } = "";
}

public class Shop(DbContextOptions<Shop> options) : DbContext(options)
{
    public DbSet<Category> Categories => Set<Category>();

    public DbSet<Product> Products => Set<Product>();

    public DbSet<Stock> Stocks => Set<Stock>();

    public DbSet<Price> Prices => Set<Price>();

    public DbSet<Tag> Tags => Set<Tag>();

    public DbSet<Note> Notes => Set<Note>();

    public static void Map(FenceMap map) => map
        .Entity<Product>(product => product
            .Key(row => $"product:{row.Id}")
            .Key(row => $"category:{row.CategoryId}:products"))
        .Entity<Category>(category => category.Key(row => $"category:{row.Id}"))
        .Entity<Tag>(tag => tag.Key(row => row.Name.Length == 0 ? null : $"tag:{row.Name}"))
        .Entity<Stock>(stock => stock.Key(row => $"stock:{row.Id}").Value(row => $"{row.Count}"))
        .Entity<Price>(price => price.Key(row => $"price:{row.Id}").Value(row => $"{row.Cents}"));

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Category>().HasIndex(row => row.Name).IsUnique();
        modelBuilder.Entity<Product>().OwnsOne(row => row.Size, size => size.ToTable("Sizes"));
        modelBuilder.Entity<Product>().HasMany(row => row.Tags).WithMany(row => row.Products);
        modelBuilder.Entity<Stock>().Property(row => row.Version).IsConcurrencyToken();
        modelBuilder.Entity<Stock>().Property(row => row.Id).ValueGeneratedNever();
        modelBuilder.Entity<Price>().Property(row => row.Id).ValueGeneratedNever();
    }
}
