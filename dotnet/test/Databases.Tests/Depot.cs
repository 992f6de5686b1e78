using System.ComponentModel.DataAnnotations.Schema;
using Genfence.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;

namespace Genfence.Tests.Databases;

/// <summary>Its id comes from the database, and it has a value.</summary>
public class Parcel
{
    public int Id { get; set; }

    public string Content { get; set; } = "";
}

public class Shelf
{
    public int Id { get; set; }

    public string Name { get; set; } = "";
}

public class Book
{
    public Guid Id { get; set; }

    public int ShelfId { get; set; }

    public Shelf? Shelf { get; set; }

    public string Title { get; set; } = "";
}

[ComplexType]
public record Address(string City, string Street);

public class Person
{
    public Guid Id { get; set; }

    public string Name { get; set; } = "";

    public Address Address { get; set; } = new("", "");

    [NotMapped]
    public string Place => $"place:{Address.City}:{Address.Street}";
}

/// <summary>The database makes its slug.</summary>
public class Page
{
    public Guid Id { get; set; }

    public string Name { get; set; } = "";

    public string? Slug { get; set; }
}

public readonly record struct Sku(string Text);

/// <summary>Found by what may be another row's a moment later.</summary>
public class Item
{
    public Sku Id { get; set; }

    public string Place { get; set; } = "";

    public Guid Version { get; set; }
}

public abstract class Vehicle
{
    public Guid Id { get; set; }

    public int Wheels { get; set; }
}

/// <summary>In a table of its own, beside that of its base.</summary>
public class Lorry : Vehicle
{
    public int Tons { get; set; }
}

public class Bicycle : Vehicle;

public class Line
{
    public int OrderId { get; set; }

    public int Number { get; set; }

    public string Code { get; set; } = "";

    public List<Label> Labels { get; } = [];
}

public class Label
{
    public Guid Id { get; set; }

    public string Text { get; set; } = "";

    public List<Line> Lines { get; } = [];
}

/// <summary>A view.</summary>
public class Total
{
    public int Count { get; set; }
}

/// <summary>Entities with more to them than those of the shop.</summary>
public class Depot(DbContextOptions<Depot> options) : DbContext(options)
{
    public DbSet<Parcel> Parcels => Set<Parcel>();

    public DbSet<Shelf> Shelves => Set<Shelf>();

    public DbSet<Book> Books => Set<Book>();

    public DbSet<Person> People => Set<Person>();

    public DbSet<Page> Pages => Set<Page>();

    public DbSet<Item> Items => Set<Item>();

    public DbSet<Vehicle> Vehicles => Set<Vehicle>();

    public DbSet<Line> Lines => Set<Line>();

    public DbSet<Label> Labels => Set<Label>();

    public DbSet<Dictionary<string, object>> Settings => Set<Dictionary<string, object>>("Setting");

    public static void Map(FenceMap map) => map
        .Entity<Parcel>(parcel => parcel.Key(row => $"parcel:{row.Id}").Value(row => row.Content))
        .Entity<Book>(book => book.Key(row => $"book:{row.Id}").Key(row => $"shelf:{row.ShelfId}:books"))
        .Entity<Person>(person => person.Key(row => $"city:{row.Address.City}").Key(row => row.Place).Value(row => row.Name))
        .Entity<Page>(page => page.Key(row => $"slug:{row.Slug}"))
        .Entity<Item>(item => item.Key(row => $"item:{row.Id.Text}").Key(row => $"at:{row.Place}").Value(row => row.Id.Text))
        .Entity<Vehicle>(vehicle => vehicle.Key(row => $"vehicle:{row.Id}"))
        .Entity<Lorry>(lorry => lorry.Key(row => $"tons:{row.Tons}"))
        .Entity<Line>(line => line.Key(row => $"line:{row.OrderId}:{row.Number}"))
        .Entity<Label>(label => label.Key(row => $"label:{row.Text}"))
        .Entity<Dictionary<string, object>>(setting => setting.Key(row => row.ContainsKey("Text") ? $"setting:{row["Id"]}" : null));

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Person>().ComplexProperty(row => row.Address);
        modelBuilder.Entity<Page>().Property(row => row.Slug).HasComputedColumnSql("lower(\"Name\")", stored: true);
        modelBuilder.Entity<Item>().Property(row => row.Id).HasConversion(sku => sku.Text, text => new Sku(text));
        modelBuilder.Entity<Item>().Property(row => row.Version).IsConcurrencyToken();
        modelBuilder.Entity<Vehicle>().UseTptMappingStrategy();
        modelBuilder.Entity<Lorry>();
        modelBuilder.Entity<Bicycle>();
        modelBuilder.Entity<Line>().HasKey(row => new { row.OrderId, row.Number });
        modelBuilder.Entity<Line>().HasAlternateKey(row => row.Code);
        modelBuilder.Entity<Line>().HasMany(row => row.Labels).WithMany(row => row.Lines).UsingEntity(
            right => right.HasOne(typeof(Label)).WithMany().HasForeignKey("LabelId"),
            left => left.HasOne(typeof(Line)).WithMany().HasForeignKey("LineCode").HasPrincipalKey(nameof(Line.Code)));
        modelBuilder.SharedTypeEntity<Dictionary<string, object>>("Setting", setting =>
        {
            setting.IndexerProperty<int>("Id").ValueGeneratedNever();
            setting.IndexerProperty<string>("Text");
        });
        modelBuilder.Entity<Total>().HasNoKey().ToSqlQuery("SELECT 1 AS \"Count\"");
    }
}
